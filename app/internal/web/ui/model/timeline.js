// A timeline is what the page holds of one room's log: a contiguous piece.
//
//	 1 … after │ after+1 … head │ head+1 …
//	  not here │    messages    │ ahead: set aside until the gap is filled
//
// Its invariant: everything from after+1 to head has been seen, once, in
// order. An event that would leave a gap is set aside and `missing` tells that
// head+1 has to be asked for. `head` is the cursor to resume from. Events of
// kinds this build does not show still count.

export const UNKNOWN = -1; // the cursor that asks for a room's last page

export const unopened = Object.freeze({
  after: UNKNOWN,
  head: UNKNOWN,
  live: false, // the server said that we hold everything
  start: false, // the room has nothing older than what is here
  messages: Object.freeze([]),
  ahead: Object.freeze([]),
  missing: false,
});

// MAX_AHEAD bounds what a gap can make the page remember; the rest is read
// again once the gap is filled.
const MAX_AHEAD = 500;

// at is a timeline that holds nothing and knows where the log ends: a room
// that is followed without having been looked at.
export const at = (seq) => ({ ...unopened, after: seq, head: seq, start: seq === 0 });

export const reset = (timeline, { after }) => ({ ...at(after), live: false });

// add takes events in any order and with repeats.
export function add(timeline, events) {
  let { after, head } = timeline;
  const fresh = [];
  const ahead = new Map(timeline.ahead.map((event) => [event.seq, event]));
  const take = (event) => {
    head = event.seq;
    if (event.kind === 'post') fresh.push(event);
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
  return {
    ...timeline,
    after,
    head,
    start: timeline.start || after === 0,
    messages: fresh.length > 0 ? timeline.messages.concat(fresh) : timeline.messages,
    ahead: [...ahead.values()].filter((event) => event.seq > head),
    missing: ahead.size > 0,
  };
}

// live takes the server's word that the log ends at seq.
export function live(timeline, seq) {
  if (timeline.head === UNKNOWN) return { ...at(seq), live: true };
  return { ...timeline, live: true, missing: timeline.missing || seq > timeline.head };
}

// page takes an answer to get: older events join at the front, newer ones fill
// a gap at the end. Anything else is the answer to a question from before a
// reset and is dropped.
export function page(timeline, asked, { events, more }) {
  events = events ?? [];
  if (asked === 'after') {
    const filled = add(timeline, events);
    if (filled.head === timeline.head) return { ...timeline, ahead: [], missing: false }; // asking again would not help
    return { ...filled, missing: filled.ahead.length > 0 || more };
  }
  if (events.length === 0) return more ? timeline : { ...timeline, start: true };
  if (events.at(-1).seq !== timeline.after) return timeline;
  const after = events[0].seq - 1;
  return {
    ...timeline,
    after,
    start: !more || after === 0,
    messages: events.filter((event) => event.kind === 'post').concat(timeline.messages),
  };
}

// trim forgets all but the last messages; what goes can be asked for again.
export function trim(timeline, keep) {
  if (timeline.messages.length <= keep) return timeline;
  const messages = timeline.messages.slice(-keep);
  return { ...timeline, messages, after: messages[0].seq - 1, start: false };
}
