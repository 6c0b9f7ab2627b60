import assert from 'node:assert/strict';
import test from 'node:test';
import { session } from '../ui/platform/api.js';
import { keepName } from '../ui/platform/accounts.js';
import { settled } from './fakes.mjs';

const answer = (body, status = 200) => ({ ok: status < 300, status, json: async () => body });

test('who is here is asked once a new session has come, not while it comes', async () => {
  const asked = [];
  let keep;
  globalThis.fetch = (path, { method }) => {
    asked.push(`${method} ${path}`);
    return method === 'POST' ? new Promise((resolve) => (keep = resolve)) : Promise.resolve(answer({ user: 'u1', name: 'Ada', guest: false }));
  };
  const kept = keepName('correct horse');
  const who = session();
  await settled();
  assert.deepEqual(asked, ['POST /api/account']);
  keep(answer({ user: 'u1', name: 'Ada', guest: false, admin: false }));
  assert.deepEqual(await kept, { id: 'u1', name: 'Ada', guest: false, admin: false });
  assert.equal((await who).name, 'Ada');
  assert.deepEqual(asked, ['POST /api/account', 'GET /api/session']);
});

test('a refusal is told in the server\u2019s words, and holds nothing up', async () => {
  globalThis.fetch = async (path) => (path === '/api/session' ? answer({ user: 'u1', name: 'Ada' }) : answer({ error: { code: 'common', msg: 'this password is well known' } }, 400));
  await assert.rejects(keepName('password'), { status: 400, code: 'common', message: 'this password is well known' });
  assert.equal((await session()).id, 'u1');
});
