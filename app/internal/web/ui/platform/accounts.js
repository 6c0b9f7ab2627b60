// The rest of the HTTP side, for what opens at a click: accounts, sessions and
// search.
import { call, renewed } from './api.js';

export { session } from './api.js';

const called = encodeURIComponent;

export const signOut = () => call('DELETE', '/api/session');

// sessions returns [{id, created, seen, agent, here}].
export const sessions = () => call('GET', '/api/sessions');

export const endSession = (id) => call('DELETE', `/api/sessions/${called(id)}`);

export const endOthers = () => call('DELETE', '/api/sessions');

export const keepName = (password, code) => renewed(call('POST', '/api/account', code ? { password, code } : { password }));

export const changePassword = (before, after) => renewed(call('PUT', '/api/account/password', { old: before, new: after }));

export const removeAccount = (password) => call('DELETE', '/api/account', { password });

// site returns {signup: open | closed | code}.
export const site = () => call('GET', '/api/site');

// search returns {events, more}, newest first; before continues an earlier one.
export const search = (room, q, before) =>
  call('GET', `/api/rooms/${called(room)}/search?q=${called(q)}&limit=20${before ? `&before=${before}` : ''}`);
