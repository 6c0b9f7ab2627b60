import assert from 'node:assert/strict';
import test from 'node:test';
import * as outbox from '../ui/model/outbox.js';

const say = (nonce, room = 'lobby', at = 0) => outbox.entry({ nonce, room, user: 'me', text: nonce, at });
const nonces = (entries) => entries.map((entry) => entry.nonce);

test('the oldest of each room is sent, the next when it is confirmed', () => {
  let entries = [say('a'), say('b'), say('c', 'other')];
  assert.deepEqual(nonces(outbox.due(entries, 'me', 0)), ['a', 'c']);
  entries = outbox.sent(entries, 'a', 1);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 2)), ['c']);
  entries = outbox.acked(entries, { nonce: 'a', seq: 5, ts: 9 }, 4);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 2)), ['b', 'c']);
});

test('ack before event: it stays, confirmed, until the event is there', () => {
  let entries = outbox.acked(outbox.sent([say('a')], 'a', 1), { nonce: 'a', seq: 5, ts: 9 }, 3);
  assert.equal(entries[0].state, 'sent');
  assert.deepEqual(outbox.unconfirmed(entries), [], 'and need not survive the page');
  entries = outbox.arrived(entries, 'lobby', 'me', [{ user: { id: 'me' }, nonce: 'a' }], 5);
  assert.deepEqual(entries, []);
});

test('event before ack: it is gone, and the ack changes nothing', () => {
  let entries = outbox.arrived([say('a')], 'lobby', 'me', [{ user: { id: 'me' }, nonce: 'a' }], 5);
  assert.deepEqual(entries, []);
  entries = outbox.acked(entries, { nonce: 'a', seq: 5, ts: 9 }, 5);
  assert.deepEqual(entries, []);
});

test('an ack for what the timeline holds already ends it', () => {
  assert.deepEqual(outbox.acked([say('a')], { nonce: 'a', seq: 5, ts: 9 }, 7), []);
});

test('another author with the same nonce is somebody else', () => {
  const entries = [say('a')];
  assert.equal(outbox.arrived(entries, 'lobby', 'me', [{ user: { id: 'you' }, nonce: 'a' }], 5), entries);
});

test('after a reconnect the same nonce is sent again at once', () => {
  let entries = outbox.sent([say('a')], 'a', 100);
  assert.deepEqual(outbox.due(entries, 'me', 101), []);
  entries = outbox.disconnected(entries);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 101)), ['a']);
});

test('no answer means send again, never failed', () => {
  const entries = outbox.sent([say('a')], 'a', 100);
  assert.equal(outbox.nextDue(entries, 'me'), 100 + outbox.ANSWER_MS);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 100 + outbox.ANSWER_MS)), ['a']);
});

test('nak with retry_ms waits, and nothing overtakes meanwhile', () => {
  let entries = outbox.sent([say('a'), say('b')], 'a', 100);
  entries = outbox.refused(entries, { nonce: 'a', code: 'rate', retry_ms: 2000 }, 150);
  assert.deepEqual(outbox.due(entries, 'me', 2000), []);
  assert.equal(outbox.nextDue(entries, 'me'), 2150);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 2150)), ['a']);
});

test('nak without retry_ms fails it, and the next goes on', () => {
  let entries = outbox.sent([say('a'), say('b')], 'a', 100);
  entries = outbox.refused(entries, { nonce: 'a', code: 'bad_field', msg: 'no' }, 150);
  assert.equal(entries[0].state, 'failed');
  assert.equal(entries[0].msg, 'no');
  assert.deepEqual(nonces(outbox.due(entries, 'me', 150)), ['b']);
  assert.deepEqual(nonces(outbox.discard(entries, 'a')), ['b']);
  entries = outbox.retry(entries, 'a', 'me', 200);
  assert.deepEqual(nonces(entries), ['b', 'a'], 'said again, it is said last');
  assert.equal(entries[1].state, 'pending');
});

test('what a gone tab left is adopted once and sent', () => {
  const left = outbox.sent([say('a'), say('b')], 'a', 100);
  let entries = outbox.adopt([say('c')], left, 'me');
  assert.deepEqual(nonces(entries), ['a', 'b', 'c']);
  entries = outbox.adopt(entries, left, 'me');
  assert.deepEqual(nonces(entries), ['a', 'b', 'c']);
  assert.deepEqual(nonces(outbox.due(entries, 'me', 0)), ['a']);
});

test('what was written under another session waits for the person', () => {
  let entries = outbox.claim([say('a')], 'somebody new');
  assert.equal(entries[0].state, 'failed');
  entries = outbox.retry(entries, 'a', 'somebody new', 5);
  assert.deepEqual(nonces(outbox.due(entries, 'somebody new', 5)), ['a']);
});
