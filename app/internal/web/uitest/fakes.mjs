// What the client needs from outside, under the tests' control: a clock, a
// browser's storage and locks, and a server with one log per room.
import { createClient } from '../ui/client.js';
import { createStorage } from '../ui/platform/storage.js';
import { createStore } from '../ui/store.js';
import { createTabs } from '../ui/platform/tabs.js';

export class Clock {
  #now = 1_700_000_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.#now;

  after = (ms, run) => {
    this.#timers.set(this.#next, { at: this.#now + ms, run });
    return this.#next++;
  };

  clear = (id) => this.#timers.delete(id);

  // pass lets time go by, with everything that is due on the way.
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
    }
    this.#now = end;
    await settled();
  }
}

// settled waits until every promise that can go on has gone on.
export const settled = () => new Promise((resolve) => setImmediate(resolve));

// area is a localStorage.
export function area() {
  const hidden = { enumerable: false };
  return Object.create(null, {
    getItem: { ...hidden, value(key) { return Object.hasOwn(this, key) ? this[key] : null; } },
    setItem: { ...hidden, value(key, value) { this[key] = String(value); } },
    removeItem: { ...hidden, value(key) { delete this[key]; } },
  });
}

// Locks are exclusive Web Locks; each tab has a handle whose die() releases
// what it holds.
export class Locks {
  #queues = new Map();

  handle() {
    const held = [];
    return {
      request: (name, run) => this.#request(name, run, held),
      die: () => held.forEach((release) => release()),
    };
  }

  async #request(name, run, held) {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const { promise, resolve } = withResolvers();
    this.#queues.set(name, before.then(() => promise));
    await before;
    held.push(resolve);
    Promise.resolve(run()).then(resolve);
  }
}

function withResolvers() {
  let resolve;
  return { promise: new Promise((r) => (resolve = r)), resolve };
}

// Server keeps the log and answers as proto/chat says.
export class Server {
  rooms = {};
  epoch = 'e1';
  sockets = new Set();
  received = []; // every post, repeats included
  mute = false; // take posts, answer nothing
  refuse = null; // a nak for the next post
  dead = false; // there is no worker
  half = false; // of an answer to hello only the welcome gets through
  down = false;
  session = { id: 'me', name: 'Robin' };

  constructor(clock) {
    this.clock = clock;
  }

  say(room, text, user = { id: 'ada', name: 'Ada' }, nonce = `n${Math.random()}`) {
    const log = (this.rooms[room] ??= []);
    const known = log.find((event) => event.user.id === user.id && event.nonce === nonce);
    if (known) return known;
    const event = { t: 'ev', room, seq: log.length + 1, ts: this.clock.now(), kind: 'post', user, nonce, text };
    log.push(event);
    if (!this.mute) for (const socket of this.sockets) if (socket.rooms.has(room)) socket.tell(event);
    return event;
  }

  api = {
    session: async () => {
      if (this.down) throw new TypeError('fetch failed');
      if (!this.session) throw Object.assign(new Error('no session'), { status: 401 });
      return this.session;
    },
    signIn: async (name) => {
      if (name === 'Taken') throw Object.assign(new Error('This name is in use.'), { status: 409 });
      return (this.session = { id: name.toLowerCase(), name });
    },
    rooms: async () => Object.fromEntries(Object.entries(this.rooms).map(([room, log]) => [room, { head: log.length, members: 0 }])),
  };

  open = ({ onOpen, onFrame, onClose }) => {
    const socket = {
      rooms: new Set(),
      user: this.session,
      heard: [], // what the present worker was told, in order
      unread: this.dead ? [] : null, // what comes while there is no worker
      lost: false, // the worker knows nothing of it: resync was said, no hello came
      tell: (...lines) => queueMicrotask(() => this.sockets.has(socket) && onFrame(lines.map((line) => JSON.stringify(line)).join('\n'))),
      drop: (code) => {
        this.sockets.delete(socket);
        onClose(code);
      },
      send: (text) => (socket.unread ? socket.unread.push(text) : this.#take(socket, JSON.parse(text))),
      close: () => this.sockets.delete(socket),
    };
    queueMicrotask(() => {
      if (this.down) return onClose(1006);
      this.sockets.add(socket);
      onOpen();
    });
    return socket;
  };

  // kill ends the worker and no connection. What it was told and has not
  // answered is gone, and what comes now waits for the next one.
  kill() {
    this.dead = true;
    for (const socket of this.sockets) {
      socket.rooms.clear();
      socket.unread = [];
    }
  }

  // recover starts the next worker.
  recover() {
    this.dead = this.mute = false;
    for (const socket of this.sockets) {
      const { unread } = socket;
      Object.assign(socket, { heard: [], unread: null, lost: true });
      socket.tell({ t: 'resync' });
      for (const text of unread) this.#take(socket, JSON.parse(text));
    }
  }

  #take(socket, line) {
    socket.heard.push(line.t);
    if (line.t === 'hello') {
      socket.lost = false;
      socket.rooms.clear();
    }
    if (socket.lost) return;
    switch (line.t) {
      case 'hello': {
        this.hello = line;
        const lines = [{ t: 'welcome', v: 1, epoch: this.epoch, user: socket.user, ping_ms: 30_000 }];
        for (const [room, seq] of Object.entries(line.rooms)) lines.push(...this.#catchUp(socket, room, seq));
        socket.tell(...(this.half ? lines.slice(0, 1) : lines));
        break;
      }
      case 'join':
        socket.tell(...this.#catchUp(socket, line.room, line.seq));
        break;
      case 'leave':
        socket.rooms.delete(line.room);
        break;
      case 'get': {
        const log = this.rooms[line.room] ?? [];
        const from = line.before === undefined ? line.after : Math.max(0, line.before - 1 - line.limit);
        const to = line.before === undefined ? line.after + line.limit : line.before - 1;
        socket.tell({ t: 'page', room: line.room, events: log.slice(from, to), more: line.before === undefined ? to < log.length : from > 0 });
        break;
      }
      case 'post':
        this.received.push(line.nonce);
        if (this.refuse) {
          socket.tell({ t: 'nak', room: line.room, nonce: line.nonce, ...this.refuse });
          this.refuse = null;
          break;
        }
        {
          const event = this.say(line.room, line.text, socket.user, line.nonce);
          if (!this.mute) socket.tell({ t: 'ack', room: line.room, nonce: line.nonce, seq: event.seq, ts: event.ts });
        }
        break;
      case 'ping':
        if (!this.mute) socket.tell({ t: 'pong' });
        break;
    }
  }

  #catchUp(socket, room, seq) {
    const log = this.rooms[room] ?? [];
    socket.rooms.add(room);
    const lines = [];
    if (seq < 0 || seq > log.length || log.length - seq > 500) {
      seq = Math.max(0, log.length - 50);
      lines.push({ t: 'reset', room, after: seq, head: log.length });
    }
    return [...lines, ...log.slice(seq), { t: 'live', room, seq: log.length }, { t: 'pres', room, n: 1, users: [socket.user] }];
  }

  drop(code) {
    for (const socket of [...this.sockets]) socket.drop(code);
  }

  tell(line) {
    for (const socket of this.sockets) socket.tell(line);
  }
}

// Tab is one open page.
export class Tab {
  static #count = 0;

  constructor({ clock, server, area: kept, locks }) {
    this.locks = locks.handle();
    this.store = createStore();
    const storage = createStorage(kept);
    const id = `tab${++Tab.#count}`;
    let said = 0;
    this.client = createClient({
      store: this.store,
      api: server.api,
      openSocket: server.open,
      storage,
      tabs: createTabs({ locks: this.locks, storage, id }),
      clock,
      random: () => 0.5,
      nonce: () => `${id}-${++said}`,
    });
    this.client.start();
  }

  get state() {
    return this.store.state;
  }

  texts(room = this.state.current) {
    return (this.state.timelines[room]?.messages ?? []).map((message) => message.text);
  }

  // die is what a closed or reloaded tab does: its locks go, it is heard of no
  // more.
  die() {
    this.locks.die();
  }
}
