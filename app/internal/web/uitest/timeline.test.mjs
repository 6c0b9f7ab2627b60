import assert from 'node:assert/strict';
import test from 'node:test';
import * as timeline from '../ui/model/timeline.js';

const ev = (seq, kind = 'post') => ({ seq, kind, text: `m${seq}` });
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ev(from + i));
const seqs = (held) => held.messages.map((message) => message.seq);

test('the last page of a room that was never opened sets where it begins', () => {
  const held = timeline.add(timeline.unopened, range(71, 120));
  assert.equal(held.after, 70);
  assert.equal(held.head, 120);
  assert.equal(held.start, false);
});

test('a room that begins with seq 1 has nothing older', () => {
  assert.equal(timeline.add(timeline.unopened, range(1, 3)).start, true);
  assert.equal(timeline.live(timeline.unopened, 0).start, true);
});

test('repeats are taken once', () => {
  let held = timeline.add(timeline.unopened, range(1, 5));
  const same = timeline.add(held, range(2, 5));
  assert.equal(same, held, 'nothing new: the same object, so nothing is drawn');
  held = timeline.add(held, [ev(5), ev(6), ev(6), ev(7)]);
  assert.deepEqual(seqs(held), [1, 2, 3, 4, 5, 6, 7]);
});

test('a gap is never shown: what follows waits until it is filled', () => {
  let held = timeline.add(timeline.unopened, range(1, 3));
  held = timeline.add(held, [ev(6), ev(5)]);
  assert.deepEqual(seqs(held), [1, 2, 3]);
  assert.equal(held.missing, true);
  assert.equal(held.head, 3, 'the cursor stays before the gap');
  held = timeline.add(held, [ev(4)]);
  assert.deepEqual(seqs(held), [1, 2, 3, 4, 5, 6]);
  assert.equal(held.missing, false);
});

test('a page after the head fills a gap', () => {
  let held = timeline.add(timeline.unopened, range(1, 3));
  held = timeline.add(held, [ev(7)]);
  held = timeline.page(held, 'after', { events: range(4, 6), more: true });
  assert.equal(held.head, 7);
  assert.equal(held.missing, true, 'the page said that there is more');
  held = timeline.page(held, 'after', { events: range(7, 9), more: false });
  assert.equal(held.head, 9);
  assert.equal(held.missing, false);
});

test('a page that fills nothing is not asked for again', () => {
  let held = timeline.add(timeline.unopened, range(1, 3));
  held = timeline.add(held, [ev(9)]);
  held = timeline.page(held, 'after', { events: [], more: false });
  assert.equal(held.missing, false);
  assert.deepEqual(seqs(held), [1, 2, 3]);
});

test('live tells of events that did not come', () => {
  const held = timeline.live(timeline.add(timeline.unopened, range(1, 3)), 5);
  assert.equal(held.live, true);
  assert.equal(held.missing, true);
});

test('older pages join at the front until the beginning', () => {
  let held = timeline.add(timeline.unopened, range(101, 150));
  held = timeline.page(held, 'before', { events: range(51, 100), more: true });
  assert.equal(held.after, 50);
  held = timeline.page(held, 'before', { events: range(51, 100), more: true });
  assert.equal(held.messages.length, 100, 'an answer that no longer fits is dropped');
  held = timeline.page(held, 'before', { events: range(1, 50), more: false });
  assert.equal(held.start, true);
  assert.deepEqual(seqs(held), range(1, 150).map((event) => event.seq));
});

test('a room whose beginning was removed has a beginning all the same', () => {
  let held = timeline.add(timeline.unopened, range(101, 150));
  held = timeline.page(held, 'before', { events: [], more: false });
  assert.equal(held.start, true);
});

test('kinds that are not shown count in the cursor', () => {
  const held = timeline.add(timeline.unopened, [ev(1), ev(2, 'react'), ev(3)]);
  assert.equal(held.head, 3);
  assert.deepEqual(seqs(held), [1, 3]);
});

test('reset forgets and goes on at after + 1', () => {
  let held = timeline.add(timeline.unopened, range(1, 30));
  held = timeline.reset(held, { after: 650, head: 700 });
  assert.deepEqual(seqs(held), []);
  held = timeline.live(timeline.add(held, range(651, 700)), 700);
  assert.equal(held.head, 700);
  assert.equal(held.missing, false);
  assert.equal(held.start, false);
});

test('trim keeps the end and can be filled up again', () => {
  let held = timeline.trim(timeline.add(timeline.unopened, range(1, 100)), 20);
  assert.equal(held.after, 80);
  assert.equal(held.start, false);
  held = timeline.page(held, 'before', { events: range(31, 80), more: true });
  assert.equal(held.messages.length, 70);
});

test('any order with repeats and losses ends as the log, once and in order', () => {
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 200; round++) {
    const log = range(1, 40);
    let held = timeline.add(timeline.unopened, log.slice(0, 1));
    const arrivals = [...log, ...log].sort(() => random() - 0.5).filter(() => random() < 0.7);
    for (const event of arrivals) {
      held = timeline.add(held, [event]);
      assert.deepEqual(seqs(held), range(1, held.head).map((e) => e.seq));
    }
    held = timeline.live(held, 40);
    while (held.missing) {
      const events = log.slice(held.head, held.head + 10);
      held = timeline.page(held, 'after', { events, more: held.head + 10 < 40 });
    }
    assert.equal(held.head, 40);
  }
});
