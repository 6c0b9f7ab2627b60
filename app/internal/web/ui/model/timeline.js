// A timeline is what the page holds of one room's log: mostly one contiguous
// piece, and two while somebody reads far above the end.
//
//	attached   1 … after │ messages ………………………… head │ head+1 …
//	            not here │                               ahead: set aside until the gap is filled
//
//	detached   1 … after │ messages │ not here │ tail … head │ head+1 …
//
// Its invariants:
//
//  1. Everything from after+1 to the last message has been seen, once, in
//     order; while it is detached, so has everything from tail.after+1 to head.
//  2. `head` is the cursor to resume from. An event that would leave a gap is
//     set aside, and `missing` tells that the room has to be joined again at
//     head.
//  3. Events that are no posts count in the cursor and are folded into the
//     message they are about, wherever it is held.
//  4. No piece grows without bound: what is far from where somebody reads is
//     forgotten and can be asked for again.
import { fold, isPost, message } from './fold.js';

export const UNKNOWN = -1; // the cursor that asks for a room's last page

export const unopened = Object.freeze({
  after: UNKNOWN,
  head: UNKNOWN,
  time: 0, // ts of the event at head; 0: not known
  live: false, // the server said that we hold everything
  start: false, // the room has nothing older than what is here
  messages: Object.freeze([]),
  tail: null, // {after, messages}: the end of the log, while messages end before it
  changes: Object.freeze([]), // the latest events that were no posts, for pages that were read before them
  ahead: Object.freeze([]),
  missing: false,
});

const MAX_AHEAD = 500; // events that a gap makes the page remember; the rest comes again
const MAX_CHANGES = 200;
const MAX_WINDOW = 500; // messages held while somebody scrolls through old ones
const KEEP_TAIL = 100;

// at is a timeline that holds nothing and knows where the log ends: a room
// that is followed without having been looked at.
export const at = (seq) => ({ ...unopened, after: seq, head: seq, start: seq === 0 });

// reset starts over with the last page: in the line itself, or as events that
// follow it.
export function reset(timeline, { after, head, events }) {
  if (!events) return at(after);
  return { ...at(head), after, start: after === 0, messages: events.filter(isPost).map(message) };
}

// end is the last piece, {after, messages}: what is new is in there.
export const end = (timeline) => timeline.tail ?? timeline;

// covers tells whether a post of that seq would be among the messages.
export const covers = ({ after, head, messages, tail }, seq) =>
  seq > after && seq <= (tail ? messages.at(-1)?.seq ?? after : head);

// find returns a message that is held, or undefined.
export const find = ({ messages, tail }, seq) =>
  messages[indexOf(messages, seq)] ?? (tail && tail.messages[indexOf(tail.messages, seq)]) ?? undefined;

// add takes events in any order and with repeats; me is this person's id.
export function add(timeline, events, me) {
  let { after, head, time } = timeline;
  const fresh = [];
  const changes = [];
  const ahead = new Map(timeline.ahead.map((event) => [event.seq, event]));
  const take = (event) => {
    head = event.seq;
    time = event.ts;
    if (isPost(event)) fresh.push(message(event));
    else changes.push(event);
  };
  for (const event of events) {
    if (head === UNKNOWN) after = head = event.seq - 1;
    if (event.seq <= head) continue;
    if (event.seq > head + 1) {
      if (ahead.size < MAX_AHEAD) ahead.set(event.seq, event);
      continue;
    }
    take(event);
    while (ahead.has(head + 1)) {
      const next = ahead.get(head + 1);
      ahead.delete(next.seq);
      take(next);
    }
  }
  if (head === timeline.head && ahead.size === timeline.ahead.length) return timeline;
  const grown = append({ ...timeline, after, head, time, start: timeline.start || after === 0 }, fresh);
  return change({ ...grown, ahead: [...ahead.values()].filter((event) => event.seq > head), missing: ahead.size > 0 }, changes, me);
}

function append(timeline, fresh) {
  if (fresh.length === 0) return timeline;
  if (!timeline.tail) return { ...timeline, messages: timeline.messages.concat(fresh) };
  const messages = timeline.tail.messages.concat(fresh);
  return { ...timeline, tail: last({ ...timeline.tail, messages }, 2 * KEEP_TAIL, KEEP_TAIL) };
}

// last cuts a piece that has more than max messages down to its last keep.
function last(piece, max, keep) {
  if (piece.messages.length <= max) return piece;
  const messages = piece.messages.slice(-keep);
  return { ...piece, messages, after: messages[0].seq - 1 };
}

function change(timeline, events, me) {
  if (events.length === 0) return timeline;
  const { messages, tail } = timeline;
  return {
    ...timeline,
    messages: folded(messages, events, me),
    tail: tail && { ...tail, messages: folded(tail.messages, events, me) },
    changes: timeline.changes.concat(events).slice(-MAX_CHANGES),
  };
}

// folded returns messages with events folded in, and the same array if none
// is about them.
function folded(messages, events, me) {
  let result = messages;
  for (const event of events) {
    const i = indexOf(result, event.of);
    if (i < 0) continue;
    const after = fold(result[i], event, me);
    if (after === result[i]) continue;
    if (result === messages) result = messages.slice();
    result[i] = after;
  }
  return result;
}

// indexOf finds a seq by halving, -1 if it is not there.
function indexOf(messages, seq) {
  let [low, high] = [0, messages.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (messages[middle].seq < seq) low = middle + 1;
    else high = middle;
  }
  return messages[low]?.seq === seq ? low : -1;
}

// live takes the server's word that the log ends at seq. asked is where the
// room was joined again to fill a gap: if that brought nothing, asking once
// more would not help.
export function live(timeline, seq, asked) {
  if (timeline.head === UNKNOWN) return { ...at(seq), live: true };
  const missing = timeline.missing || seq > timeline.head;
  if (missing && asked === timeline.head) return { ...timeline, live: true, missing: false, ahead: [] };
  return { ...timeline, live: true, missing };
}

// page takes the answer to a get. asked is {how: before | after | around, seq}.
// The answer to a question from before a reset does not fit and is dropped.
export function page(timeline, asked, line, me) {
  const posts = folded((line.events ?? []).filter(isPost).map(message), timeline.changes, me);
  const { more = false, more_after: moreAfter = false } = line;
  switch (asked.how) {
    case 'before':
      return asked.seq === timeline.after + 1 ? older(timeline, posts, more) : timeline;
    case 'after':
      return timeline.tail && asked.seq === timeline.messages.at(-1)?.seq ? newer(timeline, posts, moreAfter || more) : timeline;
    case 'around':
      return around(timeline, posts, more, moreAfter);
  }
  return timeline;
}

function older(timeline, posts, more) {
  if (posts.length === 0) return more ? timeline : { ...timeline, start: true };
  const after = posts[0].seq - 1;
  const all = { ...timeline, after, start: !more || after === 0, messages: posts.concat(timeline.messages) };
  if (all.messages.length <= MAX_WINDOW + posts.length) return all;
  return { ...all, messages: all.messages.slice(0, MAX_WINDOW), tail: timeline.tail ?? last(timeline, KEEP_TAIL, KEEP_TAIL) };
}

function newer(timeline, posts, more) {
  const all = joined({ ...timeline, messages: timeline.messages.concat(posts) }, more);
  if (all.messages.length <= MAX_WINDOW + posts.length) return all;
  return { ...last(all, 0, MAX_WINDOW), start: false };
}

function around(timeline, posts, more, moreAfter) {
  if (posts.length === 0) return timeline;
  const { after, messages } = last(end(timeline), KEEP_TAIL, KEEP_TAIL);
  const first = posts[0].seq - 1;
  return joined({ ...timeline, messages: posts, after: first, start: !more || first === 0, tail: { after, messages } }, moreAfter);
}

// joined makes the two pieces one when nothing is between them any more.
function joined(timeline, more) {
  const { messages, tail } = timeline;
  const reached = messages.at(-1)?.seq ?? timeline.after;
  if (more && reached <= tail.after) return timeline;
  return { ...timeline, messages: messages.concat(tail.messages.filter(({ seq }) => seq > reached)), tail: null };
}

// latest returns to the end of the log.
export function latest(timeline) {
  const { tail } = timeline;
  return tail ? { ...timeline, ...tail, start: tail.after === 0, tail: null } : timeline;
}

// trim forgets all but the last messages; what goes can be asked for again.
export function trim(timeline, keep) {
  const held = latest(timeline);
  return held.messages.length <= keep ? held : { ...last(held, keep, keep), start: false };
}
