import assert from 'node:assert/strict';
import { test } from 'node:test';
import { phase } from '../ui/store.js';
import { area, Clock, Locks, Server, settled, Tab } from './fakes.mjs';

async function world(prepare = () => {}) {
  const clock = new Clock();
  const server = new Server(clock);
  const around = { clock, server, area: area(), locks: new Locks() };
  prepare(server);
  const open = async (room = 'lobby') => {
    const tab = new Tab(around);
    tab.client.openRoom(room);
    await clock.pass(100);
    tab.client.setAtBottom(true);
    return tab;
  };
  return { ...around, open, tab: await open() };
}

test('without a session: name form; with a name: talking', async () => {
  const { tab, clock } = await world((server) => (server.session = null));
  assert.equal(phase(tab.state), 'naming');
  await tab.client.signIn('Taken');
  assert.equal(tab.state.signInError, 'This name is in use.');
  await tab.client.signIn('Grace');
  await clock.pass(100);
  assert.equal(phase(tab.state), 'talking');
  assert.equal(tab.state.conn.name, 'live');
  assert.equal(tab.state.me.name, 'Grace');
});

test('what I say is pending at once, then in the log, once', async () => {
  const { tab, server, clock } = await world();
  assert.equal(tab.client.say('  \n '), false);
  assert.equal(tab.client.say('x'.repeat(4001)), false);
  assert.equal(tab.client.say('hello'), true);
  assert.equal(tab.state.outbox[0].state, 'pending');
  await clock.pass(10);
  assert.deepEqual(tab.texts(), ['hello']);
  assert.deepEqual(tab.state.outbox, []);
  assert.equal(server.rooms.lobby.length, 1);
});

test('a deploy: bye, the chosen pause, everything once, and not a word about it', async () => {
  const { tab, server, clock } = await world((s) => s.say('lobby', 'before'));
  const people = tab.state.people.lobby;
  server.tell({ t: 'bye', why: 'deploy', after_ms: 700 });
  await settled();
  server.drop(1012);
  server.say('lobby', 'meanwhile');
  tab.client.say('mine');
  await clock.pass(600);
  assert.equal(tab.state.conn.name, 'waiting', 'not before its time');
  assert.deepEqual(tab.texts(), ['before'], 'everything stays on the screen');
  await clock.pass(200);
  assert.equal(tab.state.conn.name, 'live');
  assert.deepEqual(tab.texts(), ['before', 'meanwhile', 'mine']);
  assert.equal(tab.state.people.lobby, people, 'the list of people is not drawn again');
  assert.equal(tab.state.notice, null);
});

test('an answer that was lost: the same nonce again, stored once', async () => {
  const { tab, server, clock } = await world();
  server.mute = true;
  tab.client.say('precious');
  await clock.pass(50);
  server.mute = false;
  server.drop(1006);
  await clock.pass(1_000);
  assert.deepEqual(server.received, [server.received[0], server.received[0]]);
  assert.equal(server.rooms.lobby.length, 1);
  assert.deepEqual(tab.texts(), ['precious']);
  assert.deepEqual(tab.state.outbox, []);
});

test('refused for now: later; refused for good: failed, and the person decides', async () => {
  const { tab, server, clock } = await world();
  server.refuse = { code: 'rate', msg: 'too fast', retry_ms: 3_000 };
  tab.client.say('one');
  tab.client.say('two');
  await clock.pass(2_900);
  assert.deepEqual(tab.texts(), []);
  await clock.pass(200);
  assert.deepEqual(tab.texts(), ['one', 'two'], 'in the order they were said');

  server.refuse = { code: 'bad_field', msg: 'not that' };
  tab.client.say('three');
  await clock.pass(10);
  assert.deepEqual(tab.state.outbox.map((e) => [e.state, e.msg]), [['failed', 'not that']]);
  tab.client.retry(tab.state.outbox[0].nonce);
  await clock.pass(10);
  assert.deepEqual(tab.texts(), ['one', 'two', 'three']);
});

test('a long outage: a countdown, then what was caught up', async () => {
  const { tab, server, clock } = await world((s) => s.say('lobby', 'before'));
  server.down = true;
  server.drop(1006);
  await clock.pass(20_000);
  assert.notEqual(tab.state.conn.name, 'live');
  for (let i = 0; i < 12; i++) server.say('lobby', `missed ${i}`);
  server.down = false;
  tab.client.wake();
  await clock.pass(100);
  assert.equal(tab.state.conn.name, 'live');
  assert.equal(tab.state.notice.text, 'Back: caught up 12 messages');
  assert.equal(tab.texts().length, 13);
});

test('a session that ends during an outage is noticed', async () => {
  const { tab, server, clock } = await world();
  server.down = true;
  server.drop(1006);
  await clock.pass(3_000);
  server.down = false;
  server.session = null;
  await clock.pass(60_000);
  assert.equal(phase(tab.state), 'naming');
});

test('banned while away: the page says so and does not ask for ever', async () => {
  const { tab, server, clock } = await world();
  server.down = true;
  server.drop(1006);
  await clock.pass(3_000);
  server.down = false;
  let asked = 0;
  server.api.session = async () => {
    asked++;
    throw Object.assign(new Error('banned'), { status: 403, code: 'banned' });
  };
  await clock.pass(120_000);
  assert.deepEqual([tab.state.conn.name, tab.state.conn.why, asked], ['stopped', 'banned', 1]);
});

test('told of the end of a session that another has taken the place of here: it goes on', async () => {
  const { tab, server, clock } = await world();
  server.drop(4501);
  await clock.pass(100);
  assert.equal(phase(tab.state), 'naming');
  tab.client.become({ ...server.session, guest: false });
  await clock.pass(100);
  assert.deepEqual([phase(tab.state), tab.state.conn.name, tab.state.me.guest], ['talking', 'live', false]);
});

test('signed out elsewhere: the name form; what was not sent waits for a decision', async () => {
  const { tab, server, clock } = await world();
  server.mute = true;
  tab.client.say('unsent');
  await settled();
  server.session = null;
  server.drop(4501);
  assert.equal(phase(tab.state), 'naming');
  server.mute = false;
  await tab.client.signIn('Robin2');
  await clock.pass(100);
  assert.equal(tab.state.outbox[0].state, 'failed');
  assert.equal(tab.state.conn.name, 'live');
});

test('silence: asked once, then a new connection', async () => {
  const { tab, server, clock } = await world();
  server.mute = true;
  const [socket] = server.sockets;
  await clock.pass(31_000);
  assert.ok(tab.state.conn.probed);
  server.mute = false;
  await clock.pass(10_000);
  assert.equal(tab.state.conn.name, 'live');
  assert.ok(!server.sockets.has(socket));
});

test('cursors: the room on the screen by its last page, others by their head, all again from where they were', async () => {
  const { tab, server, clock, open } = await world((s) => {
    for (let i = 0; i < 120; i++) s.say('lobby', `m${i}`);
    for (let i = 0; i < 7; i++) s.say('design', `d${i}`);
  });
  assert.deepEqual(server.hello.rooms, { lobby: -1 });
  assert.equal(tab.texts().length, 50);
  tab.client.openRoom('design');
  await clock.pass(10);
  assert.equal(tab.texts().length, 7);
  server.drop(1006);
  await clock.pass(1_000);
  assert.deepEqual(server.hello, { t: 'hello', v: 1, epoch: 'e1', rooms: { lobby: 120, design: 7 }, at: { lobby: server.rooms.lobby[119].ts, design: server.rooms.design[6].ts } });

  tab.client.leave();
  tab.die();
  const again = await open('design');
  assert.deepEqual(server.hello.rooms, { design: -1, lobby: 120 });
  server.say('lobby', 'new');
  await clock.pass(10);
  assert.equal(again.state.timelines.lobby.head - again.state.reads.lobby, 1, 'unread by subtraction');
  again.client.openRoom('lobby');
  again.client.loadOlder();
  await clock.pass(10);
  assert.equal(again.texts().length, 51);
  assert.equal(again.state.divider, 120);
});

test('older messages, a page at a time, to the beginning', async () => {
  const { tab, clock } = await world((s) => {
    for (let i = 1; i <= 120; i++) s.say('lobby', `m${i}`);
  });
  for (const want of [100, 120, 120]) {
    tab.client.loadOlder();
    tab.client.loadOlder();
    await clock.pass(10);
    assert.equal(tab.texts().length, want);
  }
  assert.equal(tab.texts()[0], 'm1');
});

test('a long day: what nobody looks at is let go, and comes back when asked for', async () => {
  const { tab, server, clock } = await world();
  for (let i = 1; i <= 401; i++) server.say('lobby', `m${i}`);
  await clock.pass(10);
  assert.equal(tab.texts().length, 200);
  assert.equal(tab.state.timelines.lobby.head, 401);
  tab.client.loadOlder();
  await clock.pass(10);
  assert.equal(tab.texts()[0], 'm152');
  tab.client.setAtBottom(false);
  for (let i = 402; i <= 700; i++) server.say('lobby', `m${i}`);
  await clock.pass(10);
  assert.equal(tab.texts()[0], 'm152', 'nothing goes while somebody reads it');
});

test('a gap is asked for and never shown', async () => {
  const { tab, server, clock } = await world((s) => s.say('lobby', 'm1'));
  const [socket] = server.sockets;
  socket.rooms.delete('lobby'); // a server that forgets to tell
  server.say('lobby', 'm2');
  socket.rooms.add('lobby');
  server.say('lobby', 'm3');
  await clock.pass(10);
  assert.deepEqual(tab.texts(), ['m1', 'm2', 'm3']);
});

test('a reload of the tab: unsent messages and drafts are still there', async () => {
  const { tab, server, clock, open } = await world();
  server.down = true;
  server.drop(1006);
  tab.client.say('one');
  tab.client.say('two');
  tab.client.setDraft('half a thou');
  tab.die();
  server.down = false;
  const again = await open();
  await clock.pass(100);
  assert.deepEqual(again.texts(), ['one', 'two']);
  assert.equal(again.state.drafts.lobby, 'half a thou');
  assert.deepEqual(again.state.outbox, []);
});

test('two tabs: only the one that wrote it sends it; gone, the other adopts it', async () => {
  const { tab, server, clock, open } = await world();
  const other = await open();
  server.mute = true;
  tab.client.say('from the first');
  await clock.pass(50);
  other.client.changedElsewhere('outbox ');
  await clock.pass(50);
  assert.equal(server.received.length, 1);
  assert.deepEqual(other.state.outbox, []);
  tab.die();
  await clock.pass(50);
  assert.equal(other.state.outbox.length, 1);
  server.mute = false;
  server.drop(1006);
  await clock.pass(1_000);
  assert.equal(server.rooms.lobby.length, 1, 'stored once');
  assert.deepEqual(other.texts(), ['from the first']);
});

test('a restored older log: everything starts over', async () => {
  const { tab, server, clock } = await world((s) => {
    for (let i = 0; i < 20; i++) s.say('lobby', `m${i}`);
  });
  server.epoch = 'e2';
  server.rooms = {};
  server.say('lobby', 'only this');
  server.drop(1006);
  await clock.pass(1_000);
  assert.deepEqual(tab.texts(), ['only this']);
  assert.equal(tab.state.reads.lobby, 1);
});

test('leaving a room', async () => {
  const { tab, server, clock } = await world();
  tab.client.openRoom('design');
  await clock.pass(10);
  tab.client.leaveRoom('design', 'lobby');
  await clock.pass(10);
  assert.equal(tab.state.current, 'lobby');
  assert.deepEqual([...[...server.sockets][0].rooms], ['lobby']);
});

test('random trouble: every message exactly once, in order', async () => {
  let seed = 11;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const { tab, server, clock } = await world();
  const said = [];
  for (let i = 0; i < 400; i++) {
    const what = random();
    if (what < 0.4) {
      said.push(`mine ${i}`);
      tab.client.say(`mine ${i}`);
    } else if (what < 0.7) server.say('lobby', `other ${i}`);
    else if (what < 0.75) server.drop(1006);
    else if (what < 0.8) server.mute = !server.mute;
    else if (what < 0.85) server.refuse = { code: 'unavailable', msg: 'later', retry_ms: 700 };
    else if (what < 0.9) server.down = !server.down;
    else await clock.pass(random() * 3_000);
  }
  server.mute = server.down = false;
  server.refuse = null;
  server.drop(1006);
  await clock.pass(120_000);
  assert.deepEqual(tab.state.outbox, []);
  assert.deepEqual(server.rooms.lobby.filter((event) => event.user.id === 'me').map((event) => event.text), said);
  assert.deepEqual(tab.texts(), server.rooms.lobby.map((event) => event.text));
});
