// After a kill the next worker goes on with the same sockets and knows nothing:
// it says resync, and nobody at a page may notice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { banner } from '../ui/model/banner.js';
import { area, Clock, Locks, Server, settled, Tab } from './fakes.mjs';

// world is a tab in the lobby, and a server. From quietly on, any word in the
// banner and any other connection fails the test.
async function world(prepare = () => {}) {
  const clock = new Clock();
  const server = new Server(clock);
  prepare(server);
  const tab = new Tab({ clock, server, area: area(), locks: new Locks() });
  tab.client.openRoom('lobby');
  await clock.pass(100);
  tab.client.setAtBottom(true);
  const [socket] = server.sockets;
  const quietly = () => {
    tab.store.watch(({ conn, notice }) => {
      assert.equal(conn.name, 'live');
      assert.equal(banner(conn, notice, clock.now()), null);
    });
  };
  const die = async (ms = 300) => {
    server.kill();
    await clock.pass(ms);
    server.recover();
    await clock.pass(100);
    assert.deepEqual([...server.sockets], [socket], 'the same socket');
  };
  return { clock, server, tab, socket, quietly, die };
}

test('in the middle of a pending post that was not stored: the same nonce, behind hello, once', async () => {
  const { tab, server, clock, socket, quietly } = await world();
  quietly();
  server.kill();
  tab.client.say('one');
  tab.client.say('two');
  tab.client.setDraft('half a thou');
  await clock.pass(300);
  assert.deepEqual(server.received, []);
  server.recover();
  await clock.pass(100);
  assert.deepEqual(socket.heard, ['post', 'typing', 'hello', 'post', 'post'], 'the first was written to the dead and is not taken');
  assert.equal(server.received.length, 2);
  assert.deepEqual(tab.texts(), ['one', 'two']);
  assert.deepEqual(tab.state.outbox, []);
  assert.equal(tab.state.drafts.lobby, 'half a thou');
});

test('in the middle of a pending post that was stored: the same nonce, stored once', async () => {
  const { tab, server, clock, quietly, die } = await world();
  quietly();
  server.mute = true;
  tab.client.say('precious');
  await clock.pass(50);
  assert.equal(tab.state.outbox.length, 1);
  await die();
  assert.deepEqual(server.received, [server.received[0], server.received[0]]);
  assert.equal(server.rooms.lobby.length, 1);
  assert.deepEqual(tab.texts(), ['precious']);
  assert.deepEqual(tab.state.outbox, []);
});

test('a post that waits because it was refused goes on waiting', async () => {
  const { tab, server, clock, die } = await world();
  server.refuse = { code: 'rate', msg: 'too fast', retry_ms: 3_000 };
  tab.client.say('patient');
  await clock.pass(50);
  await die();
  assert.equal(server.received.length, 1);
  await clock.pass(3_000);
  assert.deepEqual(tab.texts(), ['patient']);
});

test('what was said meanwhile is there, from the cursor on, and nothing else is drawn again', async () => {
  const { tab, server, clock, quietly } = await world((s) => s.say('lobby', 'before'));
  quietly();
  const { people, timelines } = tab.state;
  const [shown] = timelines.lobby.messages;
  server.kill();
  server.say('lobby', 'meanwhile');
  await clock.pass(300);
  server.recover();
  await settled();
  assert.deepEqual(server.hello, { t: 'hello', v: 1, epoch: 'e1', rooms: { lobby: 1 }, at: { lobby: server.rooms.lobby[0].ts } });
  await clock.pass(100);
  assert.deepEqual(tab.texts(), ['before', 'meanwhile']);
  assert.equal(tab.state.timelines.lobby.messages[0], shown);
  assert.equal(tab.state.timelines.lobby.live, true);
  assert.equal(tab.state.people.lobby, people.lobby);
  assert.equal(tab.state.reads.lobby, 2);
});

test('a room is live again only when the server said so', async () => {
  const { tab, server, clock } = await world((s) => s.say('lobby', 'before'));
  server.kill();
  const seen = [];
  tab.store.watch(({ timelines }) => seen.push(timelines.lobby.live));
  server.recover();
  await clock.pass(100);
  assert.ok(seen.includes(false), 'it was not, between resync and live');
  assert.equal(seen.at(-1), true);
  assert.deepEqual(tab.texts(), ['before'], 'and what it held stayed');
});

test('while older messages were asked for: they can be asked for again', async () => {
  const { tab, server, clock, quietly } = await world((s) => {
    for (let i = 1; i <= 120; i++) s.say('lobby', `m${i}`);
  });
  quietly();
  server.kill();
  tab.client.loadOlder();
  await clock.pass(300);
  assert.equal(tab.state.asking.lobby.how, 'before');
  server.recover();
  await clock.pass(100);
  assert.deepEqual(tab.state.asking, {}, 'the answer died with the worker');
  assert.equal(tab.texts().length, 50, 'nothing is lost or added');
  tab.client.loadOlder();
  await clock.pass(10);
  assert.equal(tab.texts().length, 100);
});

test('while a gap was asked for: it is filled all the same', async () => {
  const { tab, server, clock, socket, quietly, die } = await world((s) => s.say('lobby', 'm1'));
  quietly();
  socket.rooms.delete('lobby'); // a server that forgets to tell
  server.say('lobby', 'm2');
  const m3 = server.say('lobby', 'm3');
  server.kill();
  socket.tell(m3);
  await settled();
  assert.equal(tab.state.asking.lobby.how, 'join');
  await die(0);
  assert.deepEqual(tab.texts(), ['m1', 'm2', 'm3']);
  assert.deepEqual(tab.state.asking, {});
});

test('twice in turn', async () => {
  const { tab, server, quietly, die } = await world((s) => s.say('lobby', 'm1'));
  quietly();
  for (const text of ['m2', 'm3']) {
    server.kill();
    server.say('lobby', text);
    tab.client.say(`mine after ${text}`);
    await die();
  }
  assert.deepEqual(tab.texts(), ['m1', 'm2', 'mine after m2', 'm3', 'mine after m3']);
  assert.deepEqual(tab.state.outbox, []);
});

test('twice before an answer: two hellos are answered, everything is there once', async () => {
  const { tab, server, clock, socket, quietly } = await world((s) => s.say('lobby', 'm1'));
  quietly();
  server.kill();
  tab.client.say('mine');
  server.say('lobby', 'm2');
  server.recover();
  server.kill(); // the second worker reads nothing either
  await clock.pass(100);
  server.recover();
  await clock.pass(100);
  assert.deepEqual(socket.heard.filter((t) => t === 'hello').length, 2);
  assert.deepEqual(tab.texts(), ['m1', 'm2', 'mine']);
  assert.deepEqual(server.rooms.lobby.map((event) => event.text), ['m1', 'm2', 'mine']);
  assert.deepEqual(tab.state.outbox, []);
  server.say('lobby', 'm3');
  await clock.pass(10);
  assert.equal(tab.texts().at(-1), 'm3');
});

test('a room opened a moment ago, of which the dead worker knew nothing', async () => {
  const { tab, server, clock, socket, quietly } = await world((s) => {
    for (let i = 1; i <= 60; i++) s.say('design', `d${i}`);
  });
  quietly();
  server.kill();
  tab.client.openRoom('design');
  tab.client.say('hello there');
  await clock.pass(300);
  server.recover();
  await clock.pass(100);
  assert.deepEqual(server.hello.rooms, { design: -1, lobby: 0 });
  assert.deepEqual([...socket.rooms].sort(), ['design', 'lobby']);
  assert.deepEqual(socket.heard, ['join', 'post', 'hello', 'post'], 'and it is not joined once more');
  assert.equal(tab.texts().length, 51);
  assert.equal(tab.texts().at(-1), 'hello there');
});

test('a room left a moment ago is not opened again', async () => {
  const { tab, server, clock, socket, quietly } = await world();
  tab.client.openRoom('design');
  await clock.pass(10);
  quietly();
  server.kill();
  tab.client.leaveRoom('design', 'lobby');
  await clock.pass(300);
  server.recover();
  await clock.pass(100);
  assert.deepEqual(server.hello.rooms, { lobby: 0 });
  assert.deepEqual([...socket.rooms], ['lobby']);
  assert.equal(tab.state.timelines.design, undefined);
});

test('after a bye of the dead worker: the connection stays', async () => {
  const { server, clock, quietly, die } = await world();
  quietly();
  server.tell({ t: 'bye', why: 'deploy', after_ms: 700 });
  await settled();
  await die();
  await clock.pass(2_000);
  assert.equal(server.sockets.size, 1);
});

test('before the first welcome: two hellos, and it comes to be', async () => {
  const clock = new Clock();
  const server = new Server(clock);
  server.say('lobby', 'm1');
  server.kill();
  const tab = new Tab({ clock, server, area: area(), locks: new Locks() });
  tab.client.openRoom('lobby');
  await clock.pass(300);
  assert.equal(tab.state.conn.name, 'connecting');
  server.recover();
  await clock.pass(100);
  assert.deepEqual([...server.sockets][0].heard, ['hello', 'hello']);
  assert.equal(tab.state.conn.name, 'live');
  assert.deepEqual(tab.texts(), ['m1']);
});

test('in the middle of catching up after an outage: the word about that still comes', async () => {
  const { tab, server, clock } = await world((s) => s.say('lobby', 'm1'));
  server.down = true;
  server.drop(1006);
  await clock.pass(20_000);
  server.say('lobby', 'm2');
  server.say('lobby', 'm3');
  server.down = false;
  server.half = true; // the welcome gets through, what follows does not
  tab.client.wake();
  await clock.pass(10);
  assert.equal(tab.state.conn.name, 'live');
  assert.equal(tab.state.notice, null);
  server.half = false;
  server.kill();
  server.recover();
  await clock.pass(100);
  assert.equal(tab.state.notice.text, 'Back: caught up 2 messages');
});

test('random kills: every message exactly once, in order, on one socket', async () => {
  let seed = 5;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const { tab, server, clock, socket, quietly } = await world();
  quietly();
  const said = [];
  for (let i = 0; i < 600; i++) {
    const what = random();
    if (what < 0.3) {
      said.push(`mine ${i}`);
      tab.client.say(`mine ${i}`);
    } else if (what < 0.5) server.say('lobby', `other ${i}`);
    else if (what < 0.6) server.mute = !server.mute;
    else if (what < 0.65) tab.client.loadOlder();
    else if (what < 0.8) {
      if (server.dead) server.recover();
      else server.kill();
    } else await clock.pass(random() * 200);
  }
  if (!server.dead) server.kill();
  server.recover();
  await clock.pass(30_000);
  assert.deepEqual(tab.state.outbox, []);
  assert.deepEqual(server.rooms.lobby.filter((event) => event.user.id === 'me').map((event) => event.text), said);
  assert.deepEqual(tab.texts(), server.rooms.lobby.slice(-tab.texts().length).map((event) => event.text));
  assert.deepEqual([...server.sockets], [socket]);
});
