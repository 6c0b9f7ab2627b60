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

const asUser = ({ user, name }) => ({ id: user, name });

export const session = async () => asUser(await call('GET', '/api/session'));

export const signIn = async (name) => asUser(await call('POST', '/api/session', { name }));

// rooms returns {name: {head, members}}.
export async function rooms() {
  const { rooms: list } = await call('GET', '/api/rooms');
  return Object.fromEntries((list ?? []).map(({ room, head, members }) => [room, { head, members }]));
}
