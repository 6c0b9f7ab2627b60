// The wire: what a text frame from the server holds, and the lines this page
// sends. A frame holds one or more lines, each one JSON object whose "t" names
// its kind. The contract is the Go package proto/chat.

export const VERSION = 1;

export const MAX_TEXT = 4000; // code points in one post
export const MAX_NAME = 24; // code points in a display name
export const MAX_ROOMS = 50; // rooms one connection may have open
export const PAGE_SIZE = 50; // events of the last page and of one page of history

const isRoom = (line) => typeof line.room === 'string';
const isSeq = (n) => Number.isSafeInteger(n) && n >= 0;
const isUser = (user) => typeof user?.id === 'string' && typeof user?.name === 'string';
const isList = (list, item) => list === undefined || list === null || (Array.isArray(list) && list.every(item));

const isEvent = (line) =>
  isRoom(line) && isSeq(line.seq) && typeof line.kind === 'string' && Number.isFinite(line.ts) &&
  isUser(line.user) && (!Object.hasOwn(events, line.kind) || events[line.kind](line));

// What an event of each kind must hold. One of a kind that is missing here is
// of a newer server: it counts in the cursor and shows nothing.
const events = {
  post: (line) => (typeof line.text === 'string' || line.deleted === true) && isReactions(line.reactions),
  edit: (line) => isSeq(line.of) && typeof line.text === 'string',
  del: (line) => isSeq(line.of),
  react: (line) => isSeq(line.of) && isEmoji(line.emoji) && typeof line.on === 'boolean',
};

const isEmoji = (emoji) => typeof emoji === 'string' && emoji !== '' && emoji.length <= 64;
const isReactions = (reactions) => reactions === undefined || reactions === null ||
  (typeof reactions === 'object' && Object.entries(reactions).every(([emoji, count]) => isEmoji(emoji) && isSeq(count?.n)));
const isReads = (reads) => reads === undefined || reads === null || (typeof reads === 'object' && Object.values(reads).every(isSeq));

// What each known kind must hold before any other module sees it. A kind that
// is missing here is one of a newer server: ignored.
const kinds = {
  welcome: (line) => isUser(line.user) && typeof line.epoch === 'string' && line.ping_ms > 0 && isReads(line.reads),
  ev: isEvent,
  live: (line) => isRoom(line) && isSeq(line.seq),
  reset: (line) => isRoom(line) && isSeq(line.after) && isSeq(line.head) && isList(line.events, isEvent),
  ack: (line) => isRoom(line) && typeof line.nonce === 'string' && isSeq(line.seq),
  nak: (line) => isRoom(line) && typeof line.nonce === 'string',
  page: (line) => isRoom(line) && isList(line.events, isEvent),
  pres: (line) => isRoom(line) && isSeq(line.n) && isList(line.users, isUser) && isList(line.join, isUser) && isList(line.left, (id) => typeof id === 'string'),
  read: (line) => isRoom(line) && isSeq(line.seq),
  typing: (line) => isRoom(line) && isList(line.users, (name) => typeof name === 'string'),
  err: (line) => typeof line.msg === 'string',
  bye: (line) => line.after_ms >= 0,
  resync: () => true,
  ping: () => true,
  pong: () => true,
};

// parse returns the lines of a frame that this build understands, in order.
export function parse(frame) {
  const lines = [];
  for (const text of frame.split('\n')) {
    const line = parseLine(text);
    if (line) lines.push(line);
  }
  return lines;
}

function parseLine(text) {
  if (text.trim() === '') return null;
  let line;
  try {
    line = JSON.parse(text);
  } catch {
    return null;
  }
  if (line === null || typeof line !== 'object' || !Object.hasOwn(kinds, line.t)) return null;
  return kinds[line.t](line) ? line : null;
}

export const hello = (epoch, rooms, at) => JSON.stringify({ t: 'hello', v: VERSION, epoch, rooms, at });
export const join = (room, seq) => JSON.stringify({ t: 'join', room, seq });
export const leave = (room) => JSON.stringify({ t: 'leave', room });
export const read = (room, seq) => JSON.stringify({ t: 'read', room, seq });
export const typing = (room) => JSON.stringify({ t: 'typing', room });
const get = (which) => (room, seq) => JSON.stringify({ t: 'get', room, [which]: seq, limit: PAGE_SIZE });
export const getBefore = get('before');
export const getAfter = get('after');
export const getAround = get('around');

// entry is the line of what somebody does: post, edit, delete, react.
export const entry = ({ kind = 'post', room, nonce, of, text, emoji, on }) =>
  JSON.stringify({ t: kind, room, nonce, of, text, emoji, on }); // what is undefined is left out
export const ping = () => '{"t":"ping"}';
export const pong = () => '{"t":"pong"}';
