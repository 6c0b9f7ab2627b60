import assert from 'node:assert/strict';
import test from 'node:test';
import * as connection from '../ui/model/connection.js';

// run feeds events [type or event, at] and returns the last state and actions.
function run(events, random = () => 0.5) {
  let state = connection.idle;
  let actions = [];
  for (const [event, at] of events) {
    [state, actions] = connection.next(state, typeof event === 'string' ? { type: event } : event, at, random);
  }
  return { state, actions };
}

const welcome = { type: 'welcome', pingMs: 30_000 };
const closed = (code) => ({ type: 'closed', code });
const bye = (afterMs) => ({ type: 'bye', afterMs });
const live = [['start', 1_000], [welcome, 1_100]];

test('start connects, welcome makes it live', () => {
  assert.deepEqual(run([['start', 0]]).actions, ['connect']);
  assert.equal(run(live).state.name, 'live');
});

test('full jitter grows from 0.5 s to 30 s', () => {
  let state = run([['start', 0]]).state;
  const longest = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    [state] = connection.next(state, closed(1006), 0, () => 1);
    longest.push(state.until);
    [state] = connection.next(state, { type: 'timer' }, state.until, () => 1);
    assert.equal(state.name, 'connecting');
    state = { ...state, since: 0 };
  }
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  assert.equal(run([['start', 0], [closed(1006), 10]], () => 0).state.until, 10, 'full jitter may be no delay at all');
});

test('bye comes back after exactly the delay that the server chose', () => {
  const { state } = run([...live, [bye(3_210), 60_000], [closed(1012), 60_050]], () => 0.9);
  assert.equal(state.name, 'waiting');
  assert.equal(state.until, 63_210);
  const early = connection.next(state, { type: 'wake' }, 61_000, Math.random);
  assert.equal(early[0], state, 'looking at the tab does not break the pacing');
  const late = connection.next(state, { type: 'timer' }, 63_210, Math.random);
  assert.deepEqual(late[1], ['connect']);
});

test('bye without a close reconnects all the same', () => {
  const { state, actions } = run([...live, [bye(500), 5_000], ['timer', 5_500]]);
  assert.equal(state.name, 'connecting');
  assert.deepEqual(actions, ['connect']);
});

test('close codes below 4500 mean come back', () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4499]) {
    assert.equal(run([...live, [closed(code), 2_000]]).state.name, 'waiting', String(code));
  }
});

test('close codes from 4500 mean stop, with a reason', () => {
  for (const [code, why] of [[4500, 'protocol'], [4501, 'session'], [4503, 'banned'], [4504, 'version'], [4999, 'protocol']]) {
    const { state } = run([...live, [closed(code), 2_000]]);
    assert.equal(state.name, 'stopped');
    assert.equal(state.why, why);
    assert.equal(connection.deadline(state), Infinity);
  }
});

test('a resync and the second welcome leave it live, and nothing to show', () => {
  const before = run([...live, ['timer', 31_100]]).state;
  const { state, actions } = run([...live, ['timer', 31_100], ['resync', 31_200], [{ type: 'welcome', pingMs: 5_000 }, 31_300]]);
  assert.deepEqual(state, { ...before, ping: 5_000 });
  assert.deepEqual(actions, []);
  assert.equal(run([['start', 0], ['resync', 10]]).state.name, 'connecting', 'before the first welcome it still waits for one');
});

test('a resync takes back the bye of a worker that did not live to close', () => {
  const { state, actions } = run([...live, [bye(500), 5_000], ['resync', 5_100], ['timer', 5_500]]);
  assert.equal(state.name, 'live');
  assert.deepEqual(actions, []);
  assert.equal(connection.deadline(state), 31_100);
});

test('no session or a ban stops; signing in starts again', () => {
  for (const why of ['session', 'banned']) {
    const { state, actions } = run([['start', 0], [{ type: 'refused', why }, 50]]);
    assert.deepEqual([state.name, state.why], ['stopped', why]);
    assert.deepEqual(actions, ['close']);
    assert.deepEqual(connection.next(state, { type: 'start' }, 60, Math.random)[1], ['connect']);
  }
});

test('silence of ping_ms asks once, then gives up', () => {
  const silent = run([...live, ['timer', 31_100]]);
  assert.deepEqual(silent.actions, ['probe']);
  assert.equal(connection.deadline(silent.state), 31_100 + connection.PROBE_MS);
  const dead = connection.next(silent.state, { type: 'timer' }, 31_100 + connection.PROBE_MS, () => 0.5);
  assert.equal(dead[0].name, 'waiting');
  assert.deepEqual(dead[1], ['close']);
  const alive = connection.next(silent.state, { type: 'heard' }, 32_000, () => 0.5);
  assert.equal(connection.deadline(alive[0]), 62_000);
});

test('waking up retries at once, and asks a socket that has slept', () => {
  const waiting = run([['start', 0], [closed(1006), 0], ['timer', 9_999], [closed(1006), 9_999]], () => 1).state;
  assert.deepEqual(connection.next(waiting, { type: 'wake' }, 10_000, Math.random)[1], ['connect']);
  assert.deepEqual(run([...live, ['wake', 20_000]]).actions, ['probe']);
  assert.deepEqual(run([...live, ['wake', 2_000]]).actions, [], 'just heard of it');
});

test('retry now connects from any wait', () => {
  assert.deepEqual(run([['start', 0], [closed(1006), 10], ['retry', 11]]).actions, ['connect']);
  assert.deepEqual(run([...live, [bye(9_000), 5_000], [closed(1012), 5_001], ['retry', 5_002]]).actions, ['connect']);
  assert.deepEqual(run([...live, ['retry', 5_000]]).actions, []);
});

test('a connection that hangs before welcome is given up', () => {
  const { state, actions } = run([['start', 0], ['timer', connection.WELCOME_MS]]);
  assert.equal(state.name, 'waiting');
  assert.deepEqual(actions, ['close']);
});

test('a server that greets and drops is not hammered', () => {
  let state = connection.idle;
  let now = 0;
  const delays = [];
  [state] = connection.next(state, { type: 'start' }, now, () => 1);
  for (let i = 0; i < 5; i++) {
    [state] = connection.next(state, welcome, now, () => 1);
    [state] = connection.next(state, closed(1011), now += 100, () => 1);
    delays.push(state.until - now);
    [state] = connection.next(state, { type: 'timer' }, now = state.until, () => 1);
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000]);
  [state] = connection.next(state, welcome, now, () => 1);
  [state] = connection.next(state, closed(1011), now += connection.STABLE_MS, () => 1);
  assert.equal(state.until - now, 500, 'after a stable time it starts anew');
});

test('every state takes every event', () => {
  const states = [
    connection.idle,
    run([['start', 0]]).state,
    run(live).state,
    run([...live, [bye(100), 2_000]]).state,
    run([...live, ['timer', 31_100]]).state,
    run([...live, [closed(1006), 2_000]]).state,
    run([...live, [closed(4501), 2_000]]).state,
  ];
  const events = [{ type: 'start' }, welcome, { type: 'heard' }, bye(10), { type: 'resync' }, closed(1006), closed(4501), { type: 'refused', why: 'session' },
    { type: 'retry' }, { type: 'wake' }, { type: 'timer' }, { type: 'stop' }];
  for (const state of states) {
    for (const event of events) {
      const [after, actions] = connection.next(state, event, 100_000, () => 0.5);
      assert.match(after.name, /^(idle|connecting|live|waiting|stopped)$/);
      assert.ok(Array.isArray(actions));
      assert.ok(connection.deadline(after) > 0);
    }
  }
  assert.throws(() => connection.next(connection.idle, { type: 'nonsense' }, 0, Math.random), /nonsense/);
});
