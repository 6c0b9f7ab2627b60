import assert from 'node:assert/strict';
import test from 'node:test';

process.env.TZ = 'Europe/Berlin';
const { rows } = await import('../ui/model/rows.js');
const { dayName, dayOf, isoDay } = await import('../ui/model/dates.js');

const me = { id: 'me', name: 'Robin' };
const minute = 60_000;
const noon = new Date(2025, 2, 3, 12).getTime();
const said = (seq, user, ts) => ({ seq, ts, kind: 'post', text: `m${seq}`, nonce: `n${seq}`, user: { id: user, name: user } });

function show(messages, more = {}) {
  return rows({ timeline: { messages, start: false }, outbox: [], room: 'lobby', me, divider: null, ...more });
}
const firsts = (list) => list.filter((row) => row.kind === 'message').map((row) => row.first);
const kinds = (list) => list.map((row) => row.kind);

test('messages of one author within five minutes form a group', () => {
  const list = show([said(1, 'ada', noon), said(2, 'ada', noon + 4 * minute), said(3, 'ada', noon + 8 * minute), said(4, 'ada', noon + 13 * minute)]);
  assert.deepEqual(firsts(list), [true, false, false, true]);
});

test('another author, another day and the unread line open a group', () => {
  const list = show([said(1, 'ada', noon), said(2, 'bob', noon), said(3, 'bob', noon + 1), said(4, 'bob', noon + 2)], { divider: 3 });
  assert.deepEqual(firsts(list), [true, true, false, true]);
  assert.deepEqual(kinds(list), ['day', 'message', 'message', 'message', 'unread', 'message']);
  const midnight = dayOf(noon)[1];
  assert.deepEqual(kinds(show([said(1, 'ada', midnight - 1), said(2, 'ada', midnight)])), ['day', 'message', 'day', 'message']);
});

test('the unread line never stands above my own words', () => {
  assert.deepEqual(kinds(show([said(1, 'ada', noon), said(2, 'me', noon)], { divider: 1 })), ['day', 'message', 'message']);
});

test('what is being sent comes last, and keeps its key when it is confirmed', () => {
  const entry = { nonce: 'n9', room: 'lobby', user: 'me', text: 'hi', at: noon, state: 'pending' };
  const pending = show([said(1, 'ada', noon)], { outbox: [entry, { ...entry, nonce: 'x', room: 'other' }] }).at(-1);
  assert.equal(pending.state, 'pending');
  const confirmed = show([said(1, 'ada', noon), { ...said(9, 'me', noon), nonce: 'n9' }]).at(-1);
  assert.equal(confirmed.key, pending.key);
});

test('what was not sent stays when the session ends', () => {
  const post = { nonce: 'n9', room: 'lobby', user: 'me', text: 'hi', at: noon, state: 'pending' };
  const edit = { kind: 'edit', nonce: 'n10', room: 'lobby', user: 'me', of: 1, text: 'better', at: noon, state: 'pending' };
  const list = show([said(1, 'me', noon)], { me: null, outbox: [post, edit] });
  assert.deepEqual(list.filter((row) => row.kind === 'message').map((row) => row.text), ['better', 'hi']);
});

test('keys are unique, even when the clock went back a day', () => {
  const list = show([said(1, 'ada', noon), said(2, 'ada', noon - 86400_000), said(3, 'ada', noon)]);
  assert.equal(new Set(list.map((row) => row.key)).size, list.length);
});

test('a day that is 23 hours long is one day', () => {
  const [start, end] = dayOf(new Date(2025, 2, 30, 12).getTime());
  assert.equal((end - start) / 3600_000, 23);
  assert.equal(isoDay(start), '2025-03-30', 'here, not in Greenwich');
  assert.equal(dayName(end, end), 'Today');
  assert.equal(dayName(end - 1, end), 'Yesterday');
  assert.equal(dayName(start - 1, end).includes('Yesterday'), false);
});
