import assert from 'node:assert/strict';
import test from 'node:test';
import { createAccount } from '../ui/account.js';
import { createSearch } from '../ui/search.js';
import { createStore } from '../ui/store.js';
import { Clock, settled } from './fakes.mjs';

const refusal = Object.assign(new Error('That is not the password.'), { status: 403 });

// account is the dialog's logic, with an API that answers as `answers` says.
function account(answers = {}) {
  const store = createStore({ me: { id: 'u1', name: 'Ada', guest: true } });
  const called = [];
  const known = {
    session: async () => store.state.me,
    site: async () => ({ signup: 'open' }),
    sessions: async () => [{ id: 's1', here: true }],
    keepName: async () => ({ ...store.state.me, guest: false }),
    ...answers,
  };
  const api = new Proxy({}, { get: (_, name) => async (...args) => (called.push(name), known[name]?.(...args)) });
  let over = 0;
  const dialog = createAccount({ store, api, become: (me) => store.set({ me }), ended: () => over++ });
  return { store, dialog, called, over: () => over };
}

test('a guest keeps the name, and sees where it is used', async () => {
  const { store, dialog } = account();
  await dialog.open();
  assert.deepEqual([store.state.dialog, store.state.account.site, store.state.account.sessions], ['account', { signup: 'open' }, null]);
  await dialog.keep('correct horse', undefined);
  assert.equal(store.state.me.guest, false);
  assert.equal(store.state.account.sessions.length, 1);
  assert.match(store.state.account.done, /yours/);
});

test('what is refused is said, and what was done before is not', async () => {
  const { store, dialog } = account({ changePassword: () => Promise.reject(refusal), removeAccount: () => Promise.reject(new TypeError('fetch failed')) });
  await dialog.open();
  await dialog.endOthers();
  await dialog.changePassword('wrong', 'another one');
  assert.deepEqual([store.state.account.problem, store.state.account.done], [refusal.message, '']);
  await dialog.remove('anything');
  assert.match(store.state.account.problem, /cannot be reached/);
});

test('one thing at a time', async () => {
  const { dialog, called } = account();
  await dialog.open();
  await Promise.all([dialog.endOthers(), dialog.endOthers()]);
  assert.equal(called.filter((name) => name === 'endOthers').length, 1);
});

test('signing out and the end of the account end the session, once they have succeeded', async () => {
  const refused = account({ signOut: () => Promise.reject(refusal) });
  await refused.dialog.open();
  await refused.dialog.signOut();
  assert.equal(refused.over(), 0);
  for (const way of ['signOut', 'remove']) {
    const { dialog, over } = account();
    await dialog.open();
    await dialog[way]('correct horse');
    assert.equal(over(), 1, way);
  }
});

// search is the dialog's logic over a log in which every message says its seq.
function search(last) {
  const store = createStore({ current: 'lobby' });
  const clock = new Clock();
  const asked = [];
  const answer = async (room, q, before = last + 1) => {
    asked.push([q, before]);
    const from = Math.max(1, before - 20);
    return { events: Array.from({ length: before - from }, (_, i) => ({ seq: before - 1 - i })), more: from > 1 };
  };
  const dialog = createSearch({ store, api: { search: (...args) => answer(...args) }, clock });
  dialog.open();
  return { store, clock, asked, dialog, seqs: () => store.state.found.events.map(({ seq }) => seq) };
}

test('search asks when somebody pauses, and only for the last that was typed', async () => {
  const { dialog, clock, asked, store } = search(5);
  for (const typed of ['b', 'bu', 'build ']) dialog.type(typed);
  assert.ok(store.state.found.busy);
  await clock.pass(1_000);
  assert.deepEqual(asked, [['build', 6]]);
  assert.equal(store.state.found.busy, false);
  dialog.type('  ');
  await clock.pass(1_000);
  assert.equal(asked.length, 1, 'nothing is not asked for');
});

test('an answer that comes after more was typed is dropped', async () => {
  const { dialog, clock, store } = search(5);
  dialog.type('b');
  await clock.pass(249);
  clock.pass(1);
  dialog.type('build');
  await settled();
  assert.deepEqual([store.state.found.q, store.state.found.events], ['build', []]);
});

test('older ones follow, each once', async () => {
  const { dialog, clock, asked, seqs, store } = search(45);
  dialog.type('x');
  await clock.pass(1_000);
  dialog.more();
  dialog.more();
  await settled();
  dialog.more();
  await settled();
  dialog.more();
  assert.equal(asked.length, 3);
  assert.deepEqual(seqs(), Array.from({ length: 45 }, (_, i) => 45 - i));
  assert.equal(store.state.found.more, false);
});
