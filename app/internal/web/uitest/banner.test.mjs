import assert from 'node:assert/strict';
import test from 'node:test';
import { backNotice, banner, nextChange, NOTICE_MS } from '../ui/model/banner.js';

const waiting = { name: 'waiting', lost: 1_000, until: 9_000, planned: false };

test('a short interruption is not worth a word', () => {
  assert.equal(banner(waiting, null, 1_500), null);
  assert.equal(banner({ ...waiting, until: 3_000, planned: true }, null, 3_500), null);
  assert.equal(nextChange(waiting, null, 1_500), 2_500, 'it asks to be looked at again');
});

test('a longer one counts down, once a second', () => {
  assert.equal(banner(waiting, null, 5_000).text, 'Reconnecting in 4 s');
  assert.equal(banner(waiting, null, 5_000).action, 'retry');
  assert.equal(nextChange(waiting, null, 5_000), 6_000);
  assert.equal(nextChange(waiting, null, 8_400), 9_000);
  let now = 5_000;
  for (const want of [4, 3, 2, 1]) {
    assert.equal(banner(waiting, null, now).text, `Reconnecting in ${want} s`);
    now = nextChange(waiting, null, now);
  }
});

test('what was caught up, for a moment', () => {
  const live = { name: 'live' };
  const notice = backNotice(12, 0);
  assert.equal(banner(live, notice, 10).text, 'Back: caught up 12 messages');
  assert.equal(backNotice(1, 0).text, 'Back: caught up 1 message');
  assert.equal(backNotice(0, 0).text, 'Back online');
  assert.equal(nextChange(live, notice, 10), NOTICE_MS);
  assert.equal(banner(live, notice, NOTICE_MS), null);
});

test('a stop says why and what helps', () => {
  assert.equal(banner({ name: 'stopped', why: 'version' }, null, 1).action, 'reload');
  assert.equal(banner({ name: 'stopped', why: 'protocol' }, null, 1).action, 'reload');
  assert.match(banner({ name: 'stopped', why: 'session' }, null, 1).text, /session/);
});
