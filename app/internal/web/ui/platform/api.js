// The HTTP side: who am I, who do I want to be, which rooms are there. What the
// dialogs ask for besides is in accounts.js.

// ApiError is an answer other than 2xx, with a text for the person.
export class ApiError extends Error {
  constructor(status, code, msg) {
    super(msg);
    this.status = status;
    this.code = code;
  }
}

// call resolves to what the server answers, and throws an ApiError.
export async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    credentials: 'same-origin',
    headers: body ? { 'Content-Type': 'application/json' } : {},
    body: body && JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const { code = '', msg = `The server answered ${response.status}.` } = answer.error ?? {};
    throw new ApiError(response.status, code, msg);
  }
  return answer;
}

// who reads the answer about a session.
const who = ({ user, name, guest, admin }) => ({ id: user, name, guest, admin });

// renewed is who, of a call that gives this browser another session. Until it
// is answered nobody can tell who is here: the one it had may have ended.
let renewal = null;
export function renewed(answer) {
  renewal = answer.catch(() => {});
  return answer.then(who);
}

export async function session() {
  await renewal;
  return who(await call('GET', '/api/session'));
}

// signIn takes a free name, or with a password one that is kept.
export const signIn = async (name, password) => who(await call('POST', '/api/session', password ? { name, password } : { name }));

// rooms returns {name: {head, members, read}}.
export async function rooms() {
  const { rooms: list } = await call('GET', '/api/rooms');
  return Object.fromEntries((list ?? []).map(({ room, head, members, read }) => [room, { head, members, read }]));
}
