// The HTTP side: who am I, who do I want to be, which rooms are there.

// ApiError is an answer other than 2xx, with a text for the person.
export class ApiError extends Error {
  constructor(status, code, msg) {
    super(msg);
    this.status = status;
    this.code = code;
  }
}

async function call(method, path, body) {
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

const called = encodeURIComponent;

export const session = async () => who(await call('GET', '/api/session'));

// signIn takes a free name, or with a password one that is kept.
export const signIn = async (name, password) => who(await call('POST', '/api/session', password ? { name, password } : { name }));

export const signOut = () => call('DELETE', '/api/session');

// sessions returns [{id, created, seen, agent, here}].
export const sessions = () => call('GET', '/api/sessions');

export const endSession = (id) => call('DELETE', `/api/sessions/${called(id)}`);

export const endOthers = () => call('DELETE', '/api/sessions');

export const keepName = (password, code) => call('POST', '/api/account', code ? { password, code } : { password });

export const changePassword = (before, after) => call('PUT', '/api/account/password', { old: before, new: after });

export const removeAccount = (password) => call('DELETE', '/api/account', { password });

// site returns {signup: open | closed | code}.
export const site = () => call('GET', '/api/site');

// rooms returns {name: {head, members, read}}.
export async function rooms() {
  const { rooms: list } = await call('GET', '/api/rooms');
  return Object.fromEntries((list ?? []).map(({ room, head, members, read }) => [room, { head, members, read }]));
}

// search returns {events, more}, newest first; before continues an earlier one.
export const search = (room, q, before) =>
  call('GET', `/api/rooms/${called(room)}/search?q=${called(q)}&limit=20${before ? `&before=${before}` : ''}`);
