// The cursors of hello: which rooms this page follows and from where.
import { MAX_ROOMS } from './wire.js';
import { UNKNOWN } from './timeline.js';

// cursors returns {room: seq}. A room that was opened resumes where its
// timeline ends; the room on the screen starts with its last page; any other
// is followed from the head that the list of rooms told, for its badge only.
export function cursors(state) {
  const rooms = {};
  for (const room of wanted(state)) rooms[room] = cursor(state, room);
  return rooms;
}

// times returns {room: ts} of the events that are held at cursors, by which the
// server tells whether its log is still the one that they are of.
export function times(state, rooms) {
  const known = {};
  for (const room of Object.keys(rooms)) {
    const { time = 0 } = state.timelines[room] ?? {};
    if (time > 0) known[room] = time;
  }
  return known;
}

export function cursor(state, room) {
  const held = state.timelines[room]?.head ?? UNKNOWN;
  if (held !== UNKNOWN) return held;
  if (room === state.current) return UNKNOWN;
  return state.directory[room]?.head ?? UNKNOWN;
}

// wanted lists the rooms to have open, the most needed first: the one on the
// screen, those with words to send, then the person's own.
export function wanted(state) {
  const rooms = new Set(state.current ? [state.current] : []);
  for (const entry of state.outbox) if (entry.state === 'pending') rooms.add(entry.room);
  for (const room of state.joined) rooms.add(room);
  return [...rooms].slice(0, MAX_ROOMS);
}
