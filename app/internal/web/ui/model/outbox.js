// The outbox: what this person said and the server has not yet confirmed.
//
//	            ┌── nak, retry_ms ──┐
//	            ▼                   │
//	add ──► pending ──── ack ──► sent ── its event arrives ──► gone
//	            │  ▲                                            ▲
//	        nak │  │ retry           event before ack ──────────┘
//	            ▼  │
//	          failed ── discard ──► gone
//
// An entry is sent again with the same nonce as often as it takes: the server
// stores it once. Per room only the oldest pending entry is in flight, so that
// a refusal in the middle never lets a later message overtake an earlier one.
//
// Entries: {kind, nonce, room, user, at, state, inFlight, retryAt, seq, ts, msg}
// and, as their kind needs them, {text, of, emoji, on}. Kinds are those of the
// log: post, edit, del, react. `inFlight` is when it was sent on the present
// connection, 0 if it was not.

export const ANSWER_MS = 10_000; // without an answer for so long: send again

export const entry = ({ kind = 'post', nonce, room, user, text, of, emoji, on, at }) => ({
  kind, nonce, room, user, text, of, emoji, on, at, state: 'pending', inFlight: 0, retryAt: 0,
});

// isPost tells what is a message of its own from what changes one. An entry
// that an older build of the page left behind has no kind.
export const isPost = (e) => (e.kind ?? 'post') === 'post';

// due returns the entries to send now, at most one per room.
export function due(entries, user, now) {
  return heads(entries, user).filter((e) => dueAt(e) <= now);
}

// nextDue is when due may return something again; Infinity if only an answer
// or the person can change anything.
export function nextDue(entries, user) {
  return Math.min(Infinity, ...heads(entries, user).map(dueAt));
}

const dueAt = (e) => Math.max(e.retryAt, e.inFlight ? e.inFlight + ANSWER_MS : 0);

// heads are each room's oldest pending entry. An entry of another user cannot
// be sent: its nonce is only unique together with its author.
function heads(entries, user) {
  const rooms = new Map();
  for (const e of entries) {
    if (e.state === 'pending' && e.user === user && !rooms.has(e.room)) rooms.set(e.room, e);
  }
  return [...rooms.values()];
}

const change = (entries, nonce, fields) => entries.map((e) => (e.nonce === nonce ? { ...e, ...fields } : e));

export const sent = (entries, nonce, now) => change(entries, nonce, { inFlight: now, retryAt: 0 });

// acked keeps the entry, confirmed, until its event is in the timeline, so
// that the message does not blink out between the two.
export function acked(entries, { nonce, seq, ts }, head) {
  if (seq <= head) return entries.filter((e) => e.nonce !== nonce);
  return change(entries, nonce, { state: 'sent', seq, ts });
}

export function refused(entries, { nonce, msg, retry_ms }, now) {
  if (retry_ms > 0) return change(entries, nonce, { inFlight: 0, retryAt: now + retry_ms });
  return change(entries, nonce, { state: 'failed', inFlight: 0, msg });
}

// arrived drops what the timeline now shows: entries whose event came, and
// confirmed ones that it has passed.
export function arrived(entries, room, user, events, head) {
  const nonces = new Set(events.filter((event) => event.user.id === user).map((event) => event.nonce));
  const left = entries.filter((e) => e.room !== room || !(nonces.has(e.nonce) || (e.state === 'sent' && e.seq <= head)));
  return left.length === entries.length ? entries : left;
}

// disconnected makes everything pending due at once on the next connection.
export const disconnected = (entries) => entries.map((e) => (e.inFlight ? { ...e, inFlight: 0 } : e));

// retry puts a failed entry at the end of the queue, as this user's.
export function retry(entries, nonce, user, now) {
  const again = entries.find((e) => e.nonce === nonce && e.state === 'failed');
  if (!again) return entries;
  return [...discard(entries, nonce), entry({ ...again, user, at: now })];
}

export const discard = (entries, nonce) => entries.filter((e) => e.nonce !== nonce);

// about returns the entries that change the message seq of a room.
export const about = (entries, room, seq) => entries.filter((e) => e.of === seq && e.room === room && !isPost(e));

// adopt takes over what another tab, or this one before a reload, left
// behind. What somebody else wrote under another session is not sent without
// being asked for: it may have arrived under the old name.
export function adopt(entries, orphans, user) {
  const known = new Set(entries.map((e) => e.nonce));
  const fresh = orphans
    .filter((e) => !known.has(e.nonce))
    .map((e) => ({ ...e, inFlight: 0, retryAt: 0 }));
  return claim([...fresh, ...entries], user);
}

// claim tells whose the entries are once the user is known.
export function claim(entries, user) {
  return entries.map((e) =>
    e.user !== user && e.state === 'pending'
      ? { ...e, state: 'failed', msg: 'Written before you signed in again' }
      : e);
}

// unconfirmed is what must survive the page: all but what the server has.
export const unconfirmed = (entries) => entries.filter((e) => e.state !== 'sent');
