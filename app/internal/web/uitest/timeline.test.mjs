import assert from 'node:assert/strict';
import test from 'node:test';
import * as timeline from '../ui/model/timeline.js';

const ev = (seq, kind = 'post') => ({ seq, kind, text: `m${seq}` });
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ev(from + i));
const before = (held, line) => timeline.page(held, { how: 'before', seq: held.after + 1 }, line);
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

test('a room joined again that brings nothing is not asked for again', () => {
  let held = timeline.add(timeline.unopened, range(1, 3));
  held = timeline.add(held, [ev(9)]);
  held = timeline.live(held, 9, 3);
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
  held = before(held, { events: range(51, 100), more: true });
  assert.equal(held.after, 50);
  held = timeline.page(held, { how: 'before', seq: 101 }, { events: range(51, 100), more: true });
  assert.equal(held.messages.length, 100, 'an answer that no longer fits is dropped');
  held = before(held, { events: range(1, 50), more: false });
  assert.equal(held.start, true);
  assert.deepEqual(seqs(held), range(1, 150).map((event) => event.seq));
});

test('a room whose beginning was removed has a beginning all the same', () => {
  let held = timeline.add(timeline.unopened, range(101, 150));
  held = before(held, { events: [], more: false });
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
  held = before(held, { events: range(31, 80), more: true });
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
    if (held.missing) held = timeline.live(timeline.add(held, log.slice(held.head)), 40, held.head);
    assert.equal(held.head, 40);
  }
});

test('what happens to a message is folded into it, wherever it is held', () => {
  let held = timeline.add(timeline.unopened, range(1, 3));
  held = timeline.add(held, [{ seq: 4, kind: 'edit', of: 2, text: 'better', ts: 9 }, { seq: 5, kind: 'react', of: 1, emoji: '👍', on: true, user: { id: 'ada' } }], 'me');
  assert.equal(held.head, 5);
  assert.equal(timeline.find(held, 2).text, 'better');
  assert.equal(timeline.find(held, 1).reactions['👍'].n, 1);
  held = timeline.add(held, [{ seq: 6, kind: 'del', of: 2 }, { seq: 7, kind: 'edit', of: 2, text: 'too late', ts: 9 }]);
  assert.deepEqual([timeline.find(held, 2).deleted, timeline.find(held, 2).text], [true, '']);
});

test('a page that was read before a change gets it, one read after it does not get it twice', () => {
  const like = { seq: 101, kind: 'react', of: 20, emoji: '👍', on: true, user: { id: 'ada' } };
  const held = timeline.add(timeline.add(timeline.unopened, range(51, 100)), [like], 'me');
  const old = before(held, { events: range(1, 50), more: false });
  assert.equal(timeline.find(old, 20).reactions['👍'].n, 1);
  const folded = range(1, 50).map((event) => (event.seq === 20 ? { ...event, rev: 101, reactions: { '👍': { n: 1 } } } : event));
  assert.equal(timeline.find(before(held, { events: folded, more: false }), 20).reactions['👍'].n, 1);
});

test('scrolling far back lets the end go its own way, and scrolling down meets it again', () => {
  let held = timeline.live(timeline.add(timeline.unopened, range(9_951, 10_000)), 10_000);
  while (!held.start) {
    const from = Math.max(1, held.after - 49);
    held = before(held, { events: range(from, held.after), more: from > 1 });
    assert.ok(held.messages.length <= 550);
    assert.deepEqual(seqs(held), range(held.after + 1, held.messages.at(-1).seq).map(({ seq }) => seq));
  }
  held = timeline.add(held, [ev(10_001), { seq: 10_002, kind: 'edit', of: 10_001, text: 'new', ts: 1 }]);
  assert.equal(held.head, 10_002);
  assert.equal(timeline.latest(held).messages.at(-1).text, 'new', 'the end is there at once');
  while (held.tail) {
    const last = held.messages.at(-1).seq;
    const events = range(last + 1, Math.min(10_001, last + 50));
    held = timeline.page(held, { how: 'after', seq: last }, { events, more: true, more_after: last + 50 < 10_001 });
    assert.ok(held.messages.length <= 700);
  }
  assert.equal(held.messages.at(-1).seq, 10_001);
  assert.deepEqual(seqs(held), range(held.after + 1, 10_001).map(({ seq }) => seq));
});

test('around a message: a piece of its own, or one with the end when they meet', () => {
  const held = timeline.live(timeline.add(timeline.unopened, range(951, 1_000)), 1_000);
  const far = timeline.page(held, { how: 'around', seq: 100 }, { events: range(75, 125), more: true, more_after: true });
  assert.equal(timeline.covers(far, 100), true);
  assert.equal(timeline.covers(far, 700), false);
  assert.equal(far.head, 1_000);
  const near = timeline.page(held, { how: 'around', seq: 940 }, { events: range(915, 965), more: true, more_after: true });
  assert.equal(near.tail, null);
  assert.deepEqual(seqs(near), range(915, 1_000).map(({ seq }) => seq));
});
