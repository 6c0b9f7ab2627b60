// Who is writing: {room: {names, until}}. The server tells when it changes;
// what it told last is not believed for ever.

export const BELIEVED_MS = 8_000;
export const TELL_MS = 3_000; // how often this page tells of its own typing

export const hear = (typing, { room, users }, now) => ({ ...typing, [room]: { names: users ?? [], until: now + BELIEVED_MS } });

// spoke takes out those who have said what they were writing.
export function spoke(typing, room, names) {
  const told = typing[room];
  if (!told?.names.some((name) => names.includes(name))) return typing;
  return { ...typing, [room]: { ...told, names: told.names.filter((name) => !names.includes(name)) } };
}

// namesOf are those who write in a room now, without oneself.
export function namesOf({ typing, me, now }, room) {
  const { names, until } = typing[room] ?? { names: [], until: 0 };
  return now < until ? names.filter((name) => name !== me?.name) : [];
}

// sentence says it in words, '' for nobody.
export function sentence(names) {
  switch (names.length) {
    case 0:
      return '';
    case 1:
      return `${names[0]} is typing`;
    case 2:
      return `${names[0]} and ${names[1]} are typing`;
    case 3:
      return `${names[0]}, ${names[1]} and ${names[2]} are typing`;
  }
  return 'Several people are typing';
}

// nextChange is when a word that is shown now stops being believed.
export const nextChange = (typing, room, now) => {
  const { names, until } = typing[room] ?? { names: [], until: 0 };
  return names.length > 0 && until > now ? until : Infinity;
};
