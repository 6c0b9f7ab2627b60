// Room names: 1 to 40 of a–z, 0–9, '-' and '_', starting with a letter or
// digit, so that a name is the same in a URL, a file and a log.

export const MAX_ROOM_NAME = 40;

export const isRoomName = (name) => name.length <= MAX_ROOM_NAME && /^[a-z0-9][a-z0-9_-]*$/.test(name);

// roomName makes the name that somebody most likely meant: "Coffee Corner!"
// becomes coffee-corner. '' if nothing of it can be used.
export function roomName(typed) {
  return typed
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, MAX_ROOM_NAME)
    .replace(/-+$/, '');
}

export const roomPath = (name) => `/r/${name}`;

// roomOfPath is the room that a page's path names, or null.
export function roomOfPath(path) {
  const name = /^\/r\/([^/]+)\/?$/.exec(path)?.[1] ?? '';
  return isRoomName(name) ? name : null;
}

// seqOfHash is the message that an address names: /r/lobby#m123.
export const seqOfHash = (hash) => Number(/^#m([1-9][0-9]{0,14})$/.exec(hash)?.[1] ?? 0) || null;
