import assert from 'node:assert/strict';
import test from 'node:test';
import { hueOf, HUES, initialsOf } from '../ui/model/avatar.js';
import { isRoomName, roomName, roomOfPath } from '../ui/model/roomname.js';
import { clean, isEmoji, length } from '../ui/model/text.js';
import { apply, nobody } from '../ui/model/presence.js';
import { roomList } from '../ui/model/roomlist.js';

test('room names', () => {
  for (const name of ['lobby', 'a', '0', 'coffee-corner', 'a_b', 'x'.repeat(40)]) assert.ok(isRoomName(name), name);
  for (const name of ['', '-a', '_a', 'A', 'a b', 'é', 'x'.repeat(41), 'a/b', '..']) assert.ok(!isRoomName(name), name);
});

test('the room that somebody meant', () => {
  const cases = { 'Coffee Corner!': 'coffee-corner', '#design': 'design', 'Café': 'cafe', '  --x--  ': 'x', '!!!': '', '日本': '' };
  for (const [typed, want] of Object.entries(cases)) {
    assert.equal(roomName(typed), want, typed);
    assert.ok(want === '' || isRoomName(want));
  }
  assert.ok(isRoomName(roomName('A very long name of a room, much longer than a name may be')));
});

test('the room in the address', () => {
  assert.equal(roomOfPath('/r/design'), 'design');
  assert.equal(roomOfPath('/r/design/'), 'design');
  for (const path of ['/', '/r/', '/r/A', '/r/a/b', '/x/design']) assert.equal(roomOfPath(path), null, path);
});

test('what may be posted is what the server accepts', () => {
  assert.equal(clean('a\r\nb\rc'), 'a\nb\nc');
  assert.equal(clean('\u202eevil\u0000\u0007\u2066 text'), 'evil text');
  assert.equal(clean('\n\n  indented\n\n'), '  indented');
  assert.equal(clean(' \n\t '), '');
  assert.equal(clean('x\ud800'), 'x\ufffd');
  assert.equal(length('a😀'), 2);
});

test('a few emoji alone', () => {
  for (const text of ['🎉', '👍🏽', '👩‍💻 ❤️', '😀😀😀']) assert.ok(isEmoji(text), text);
  for (const text of ['', 'hi', 'hi 🎉', '😀😀😀😀', '123']) assert.ok(!isEmoji(text), text);
});

test('initials and colours', () => {
  assert.equal(initialsOf('Ada Lovelace'), 'AL');
  assert.equal(initialsOf('robin'), 'R');
  assert.equal(initialsOf('🎉'), '🎉');
  assert.equal(hueOf('u1'), hueOf('u1'));
  assert.equal(new Set(Array.from({ length: 200 }, (_, i) => hueOf(`u${i}`))).size, HUES);
});

test('presence: a list replaces, changes change, the same list is the same object', () => {
  const [ada, bob] = [{ id: '1', name: 'Ada' }, { id: '2', name: 'Bob' }];
  let people = apply(nobody, { n: 2, users: [bob, ada] });
  assert.deepEqual(people.users, [ada, bob]);
  assert.equal(apply(people, { n: 2, users: [ada, bob] }), people);
  people = apply(people, { n: 1, left: ['1'] });
  assert.deepEqual(people.users, [bob]);
  people = apply(people, { n: 2, join: [ada] });
  assert.deepEqual(people.users, [ada, bob]);
  assert.deepEqual(apply(people, { n: 0 }).users, []);
});

test('the list of rooms: found, or to be made', () => {
  const state = {
    joined: ['lobby', 'design'], current: 'lobby', timelines: {}, reads: {},
    directory: { lobby: { head: 1, members: 0 }, devops: { head: 1, members: 2 }, random: { head: 1, members: 5 } },
  };
  const all = roomList({ ...state, search: '' });
  assert.deepEqual(all.own.map((row) => row.room), ['design', 'lobby']);
  assert.deepEqual(all.others.map((row) => row.room), ['random', 'devops']);
  assert.equal(all.create, '');
  const found = roomList({ ...state, search: 'De' });
  assert.deepEqual(found.own.map((row) => row.room), ['design']);
  assert.equal(found.create, 'de');
  assert.equal(roomList({ ...state, search: '#devops' }).create, '');
});
