// Unread by subtraction: a room's head minus how far it was read. Reads are
// {room: seq}; a room that was never opened has none and counts nothing.

export const count = (head, read) => (read === undefined || head < 0 ? 0 : Math.max(0, head - read));

// headOf is how far a room's log is known to go: what this page holds, or what
// the list of rooms said.
export const headOf = (state, room) => Math.max(state.timelines[room]?.head ?? -1, state.directory[room]?.head ?? -1);

export const countOf = (state, room) => count(headOf(state, room), state.reads[room]);

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
  return read !== undefined && read < timeline.head && read === now ? read : null;
}

// pastOwn skips messages of one's own that directly follow what was read.
function pastOwn(timeline, read, me) {
  const first = timeline.messages.findIndex((message) => message.seq > read);
  if (first < 0) return read;
  for (const message of timeline.messages.slice(first)) {
    if (message.seq !== read + 1 || message.user.id !== me) break;
    read = message.seq;
  }
  return read;
}
