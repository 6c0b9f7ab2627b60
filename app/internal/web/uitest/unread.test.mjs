import assert from 'node:assert/strict';
import test from 'node:test';
import * as unread from '../ui/model/unread.js';
import { at, add, live } from '../ui/model/timeline.js';

const me = { id: 'me' };
const said = (seq, id = 'ada') => ({ seq, kind: 'post', user: { id } });
const held = (head, ...events) => live(add(at(head), events), head + events.length);

function settle(fields) {
  return unread.settle({
    joined: ['lobby'], current: 'lobby', timelines: {}, directory: {}, reads: {}, divider: null, me, visible: true, atBottom: true, ...fields,
  });
}

const countOf = (timelines, directory, reads) => unread.countOf({ timelines, directory, reads, me }, 'a');

test('unread are the posts of others after the mark, and nothing in a room never opened', () => {
  assert.equal(countOf({}, { a: { head: 12 } }, { a: 7 }), 5, 'of a room that is not held every event counts');
  assert.equal(countOf({}, { a: { head: 12 } }, {}), 0);
  assert.equal(countOf({ a: held(3) }, {}, { a: 9 }), 0);
  const liked = { seq: 42, kind: 'react', of: 41, emoji: '👍', on: true, user: { id: 'ada' } };
  assert.equal(countOf({ a: held(40, said(41), liked, said(43, 'me'), said(44)) }, {}, { a: 40 }), 2);
});

test('a reaction draws no line', () => {
  const liked = { seq: 41, kind: 'react', of: 40, emoji: '👍', on: true, user: { id: 'ada' } };
  assert.equal(settle({ timelines: { lobby: held(40, liked) }, reads: { lobby: 40 }, visible: false }).divider, null);
});

test('a room seen for the first time is read', () => {
  assert.equal(settle({ timelines: { lobby: held(40) }, atBottom: false }).reads.lobby, 40);
});

test('whoever looks at the end has read it', () => {
  const timelines = { lobby: held(40, said(41)) };
  assert.equal(settle({ timelines, reads: { lobby: 40 } }).reads.lobby, 41);
  assert.equal(settle({ timelines, reads: { lobby: 40 }, visible: false }).reads.lobby, 40);
  assert.equal(settle({ timelines, reads: { lobby: 40 }, atBottom: false }).reads.lobby, 40);
  assert.equal(settle({ timelines, reads: { lobby: 40 }, current: 'other' }).reads.lobby, 40);
});

test('my own words, said in another tab, are not unread', () => {
  const timelines = { lobby: held(40, said(41, 'me'), said(42, 'me'), said(43), said(44, 'me')) };
  assert.equal(settle({ timelines, reads: { lobby: 40 }, visible: false }).reads.lobby, 42);
});

test('the line stands above what came while nobody looked, and stays there', () => {
  const timelines = { lobby: held(40, said(41)) };
  const away = settle({ timelines, reads: { lobby: 40 }, visible: false });
  assert.equal(away.divider, 40);
  const back = settle({ timelines, reads: away.reads, divider: away.divider });
  assert.equal(back.reads.lobby, 41);
  assert.equal(back.divider, 40);
});

test('what comes while somebody looks has no line', () => {
  assert.equal(settle({ timelines: { lobby: held(40, said(41)) }, reads: { lobby: 40 } }).divider, null);
});

test('a mark beyond the end is of a log that is gone', () => {
  assert.equal(settle({ timelines: { lobby: held(3) }, reads: { lobby: 900 }, visible: false }).reads.lobby, 3);
});

test('another tab has read further', () => {
  assert.deepEqual(unread.merge({ a: 3, b: 9 }, { a: 5, b: 2, c: 'x' }), { a: 5, b: 9 });
});

test('the total is of one’s own rooms, told by the socket or the list', () => {
  const state = { joined: ['a', 'b'], timelines: { a: held(12) }, directory: { b: { head: 5 }, c: { head: 99 } }, reads: { a: 10, b: 4, c: 0 } };
  assert.equal(unread.total(state), 3);
});
