// Who is in a room: {n, users}, users ordered by name. A full list replaces
// what was known; after a reconnect it is mostly the same list, and the same
// object then, so that nothing is drawn again.

export const nobody = Object.freeze({ n: 0, users: Object.freeze([]) });

export function apply(people, { n, users, join, left }) {
  if (n === 0) users = [];
  const gone = new Set(left ?? []);
  const byId = new Map((users ?? people.users.filter((user) => !gone.has(user.id))).map((user) => [user.id, user]));
  for (const user of join ?? []) byId.set(user.id, user);
  const list = [...byId.values()].sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
  const same = n === people.n && list.length === people.users.length &&
    list.every((user, i) => user.id === people.users[i].id && user.name === people.users[i].name);
  return same ? people : { n, users: list };
}
