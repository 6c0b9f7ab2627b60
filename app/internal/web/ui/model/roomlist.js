// What the list of rooms shows: one's own rooms, the others, and the room that
// the words in the search field would make.
import { roomName } from './roomname.js';
import { countOf } from './unread.js';

const MORE = 50; // other rooms to show at once

// roomList returns {own, others, create}: rows {room, unread, members, current}, and
// the name of a room that does not exist yet, or ''.
export function roomList(state) {
  const wanted = roomName(state.search);
  const matches = (room) => room.includes(wanted);
  const mine = new Set(state.joined);
  const row = (room) => ({ key: room, room, unread: countOf(state, room), members: 0, current: room === state.current });
  const others = Object.keys(state.directory)
    .filter((room) => !mine.has(room) && matches(room))
    .sort((a, b) => state.directory[b].members - state.directory[a].members || (a < b ? -1 : 1))
    .slice(0, MORE);
  const exists = mine.has(wanted) || wanted in state.directory;
  return {
    own: state.joined.filter(matches).sort().map(row),
    others: others.map((room) => ({ ...row(room), unread: 0, members: state.directory[room].members })),
    create: exists ? '' : wanted,
  };
}
