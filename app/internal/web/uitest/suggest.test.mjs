import assert from 'node:assert/strict';
import test from 'node:test';
import { EMOJI, find, named, QUICK } from '../ui/model/emoji.js';
import { mentioned, mentions } from '../ui/model/mention.js';
import { suggestions } from '../ui/model/suggest.js';
import { BELIEVED_MS, hear, namesOf, nextChange, sentence, spoke } from '../ui/model/typing.js';

test('emoji by their names', () => {
  assert.equal(named('to the :rocket: and :nowhere:, at 12:30:45'), 'to the 🚀 and :nowhere:, at 12:30:45');
  assert.deepEqual(find('rain', 3).map(([name]) => name), ['rain', 'rainbow', 'brain'], 'those that begin with it first');
  assert.equal(new Set(EMOJI.map(([name]) => name)).size, EMOJI.length, 'each name once');
  for (const [name, emoji] of EMOJI) assert.match(`${name} ${emoji}`, /^[a-z_]+ [^ a-z]+$/);
  assert.equal(QUICK.length, 6);
});

test('whom a text speaks to', () => {
  const at = (text, ...names) => mentioned(text, names).map(({ at: from, length }) => text.slice(from, from + length));
  assert.deepEqual(at('@Ada, have you seen this, @ada?', 'Ada'), ['@Ada', '@ada']);
  assert.deepEqual(at('@Ada King and @Ada', 'Ada', 'Ada King'), ['@Ada King', '@Ada'], 'the longest name wins');
  for (const text of ['@Adam', 'mail@ada.example', '@Ad', 'Ada', '@']) assert.deepEqual(at(text, 'Ada'), [], text);
  const me = { id: 'me', name: 'Ada' };
  const said = (id, text, kind = 'post') => mentions({ kind, user: { id }, text }, me);
  assert.ok(said('grace', 'hi @ada'));
  assert.ok(!said('me', 'note to @ada') && !said('grace', 'hi @ada', 'edit') && !mentions({ kind: 'post', user: { id: 'x' }, text: '@ada' }, null));
});

test('what is offered while a word is typed, and where it goes', () => {
  const offered = (text, caret = text.length) => suggestions(text, caret, ['Ada Lovelace', 'Adam', 'Grace']);
  assert.deepEqual(offered('hi @ad').list.map(({ insert }) => insert), ['@Ada Lovelace ', '@Adam ']);
  const { from, to } = offered('hi @ad!', 6);
  assert.deepEqual([from, to], [3, 6]);
  assert.deepEqual(offered('(:rock').list.map(({ label }) => label), ['🚀']);
  for (const text of ['', 'hi', 'a@ad', ':r', 'at 12:30', '@Zoe', 'x:rock']) assert.equal(offered(text), null, text);
});

test('who is typing, for as long as it is believed', () => {
  const me = { name: 'Ada' };
  const typing = hear({}, { room: 'lobby', users: ['Ada', 'Grace'] }, 1_000);
  assert.deepEqual(namesOf({ typing, me, now: 1_001 }, 'lobby'), ['Grace']);
  assert.deepEqual(namesOf({ typing, me, now: 1_001 }, 'design'), []);
  assert.equal(nextChange(typing, 'lobby', 1_001), 1_000 + BELIEVED_MS);
  assert.deepEqual(namesOf({ typing, me, now: 1_000 + BELIEVED_MS }, 'lobby'), []);
  assert.equal(nextChange(typing, 'lobby', 1_000 + BELIEVED_MS), Infinity);
  assert.deepEqual(namesOf({ typing: spoke(typing, 'lobby', ['Grace']), me, now: 1_001 }, 'lobby'), [], 'it is said');
  assert.equal(spoke(typing, 'lobby', ['Linus']), typing);
  const words = [[], ['A'], ['A', 'B'], ['A', 'B', 'C'], ['A', 'B', 'C', 'D']].map(sentence);
  assert.deepEqual(words, ['', 'A is typing', 'A and B are typing', 'A, B and C are typing', 'Several people are typing']);
});
