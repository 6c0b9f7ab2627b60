// Unread by subtraction: the posts after how far a room was read. Reads are
// {room: seq}; a room that was never opened has none and counts nothing.
import { end, UNKNOWN } from './timeline.js';

// countOf counts the posts of others that this page holds. Of what it does not
// hold it knows only how many events there are.
export function countOf(state, room) {
  const read = state.reads[room];
  if (read === undefined) return 0;
  const listed = state.directory[room]?.head ?? UNKNOWN;
  const held = state.timelines[room];
  if (!held || held.head === UNKNOWN) return Math.max(0, listed - read);
  const { after, messages } = end(held);
  let n = Math.max(0, after - read);
  if (!held.live) n += Math.max(0, listed - Math.max(held.head, read));
  for (let i = messages.length - 1; i >= 0 && messages[i].seq > read; i--) {
    if (messages[i].user.id !== state.me?.id && !messages[i].deleted) n++;
  }
  return n;
}

export const total = (state) => state.joined.reduce((sum, room) => sum + countOf(state, room), 0);

// merge takes what another tab has read.
export function merge(reads, others) {
  const merged = { ...reads };
  for (const [room, seq] of Object.entries(others)) {
    if (Number.isSafeInteger(seq)) merged[room] = Math.max(merged[room] ?? 0, seq);
  }
  return merged;
}

// settle moves the read marks to where they belong now: a room seen for the
// first time is read, one's own words are read, and so is everything in the
// room that is on the screen down to its end.
export function settle(state) {
  const reads = { ...state.reads };
  let divider = state.divider;
  for (const room of state.joined) {
    const timeline = state.timelines[room];
    if (!timeline?.live) continue;
    const read = reads[room];
    const looking = room === state.current && state.visible && state.atBottom;
    if (read === undefined || read > timeline.head || looking) reads[room] = timeline.head;
    else reads[room] = pastOwn(timeline, read, state.me?.id);
    if (room === state.current) divider = dividerAfter(state, timeline, read, reads[room]);
  }
  const changed = Object.keys(reads).some((room) => reads[room] !== state.reads[room]);
  return { reads: changed ? reads : state.reads, divider };
}

// dividerAfter places the line above what is new: after the last message that
// was read when something new came in unseen. It then stays put, so that
// reading does not move it.
function dividerAfter(state, timeline, read, now) {
  if (state.divider !== null) return state.divider < timeline.head ? state.divider : null;
  return read !== undefined && read === now && hasNew(timeline, read, state.me?.id) ? read : null;
}

const hasNew = (timeline, read, me) => {
  const { after, messages } = end(timeline);
  return after > read || messages.some((message) => message.seq > read && message.user.id !== me);
};

// pastOwn skips messages of one's own that directly follow what was read.
function pastOwn(timeline, read, me) {
  const { after, messages } = end(timeline);
  if (after > read) return read;
  for (const message of messages) {
    if (message.seq <= read) continue;
    if (message.user.id !== me) break;
    read = message.seq;
  }
  return read;
}
