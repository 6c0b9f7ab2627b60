// The client: it turns what the person does and what the server says into
// changes of the store, and keeps the connection. It knows no DOM; everything
// outside comes in, so that tests run it against a fake server and clock.
import * as connection from './model/connection.js';
import * as timeline from './model/timeline.js';
import * as outbox from './model/outbox.js';
import * as presence from './model/presence.js';
import * as typing from './model/typing.js';
import * as unread from './model/unread.js';
import * as wire from './model/wire.js';
import { backNotice, loudAt, nextChange, NOTICE_MS } from './model/banner.js';
import { cursor, cursors, times, wanted } from './model/cursors.js';
import { dayOf } from './model/dates.js';
import { isPost } from './model/fold.js';
import { mentions } from './model/mention.js';
import { isRoomName } from './model/roomname.js';
import { clean, length } from './model/text.js';

const KEEP_MESSAGES = 200; // of a room of which nobody looks at the older ones
const MANY_MESSAGES = 400; // from here on they are let go
const SAVE_READS_MS = 1_000;
const REJOIN_MS = 500;

// notify(room, message) is called when somebody speaks to this person while
// nobody looks.
export function createClient({ store, api, openSocket, storage, tabs, clock, random, nonce, notify = () => {} }) {
  let socket = null;
  let opened = new Set(); // rooms that the server has been told of on this connection
  let resume = null; // {waiting, heads, loud}: rooms that a reconnect has yet to catch up
  let timer = null;
  let readsSavedAt = 0;
  let told = {}; // reads that the server knows of, on this connection
  let typedAt = 0; // when the server was last told that somebody types here
  const saved = {}; // what storage holds, by identity

  // ---- the connection

  function happen(event) {
    const before = store.state.conn;
    const [conn, actions] = connection.next(before, event, clock.now(), random);
    if (conn !== before) {
      store.set({ conn });
      if (before.name === 'live' && conn.name !== 'live') lose();
    }
    for (const action of actions) perform(action, conn);
    if (conn.name === 'stopped' && conn.why === 'session' && store.state.me) store.set({ me: null, dialog: 'none', menu: null });
    settle();
  }

  function perform(action, conn) {
    switch (action) {
      case 'connect':
        closeSocket();
        connect(conn);
        break;
      case 'close':
        closeSocket();
        break;
      case 'probe':
        socket?.send(wire.ping());
        break;
    }
  }

  async function connect(conn) {
    if (!store.state.me || conn.attempt >= connection.ASK_AFTER) {
      try {
        const [me] = await Promise.all([api.session(), store.state.epoch ? null : refreshRooms()]);
        if (store.state.conn !== conn) return;
        become(me);
      } catch (error) {
        const why = { 401: 'session', 403: 'banned' }[error.status];
        if (store.state.conn === conn) happen(why ? { type: 'refused', why } : { type: 'closed', code: 1006 });
        return;
      }
    }
    socket = openSocket({
      onOpen: hello,
      onFrame: receive,
      onClose(code) {
        closeSocket();
        happen({ type: 'closed', code });
      },
    });
  }

  // hello tells the server where this page stands in each room it wants.
  function hello() {
    const rooms = cursors(store.state);
    opened = new Set(Object.keys(rooms));
    socket.send(wire.hello(store.state.epoch || storage.get('reads', {}).epoch || '', rooms, times(store.state, rooms)));
  }

  // resync is a reconnect without a connection lost: the worker that knew us
  // was killed, and what it had not answered died with it. Hello goes first:
  // the next worker takes nothing before it.
  function resync() {
    lose();
    hello();
    happen({ type: 'resync' });
  }

  function closeSocket() {
    socket?.close();
    socket = null;
    opened = new Set();
  }

  // lose keeps everything on the screen; only what was in flight has to be
  // asked for again.
  function lose() {
    const { timelines } = store.state;
    store.set({
      asking: {},
      typing: {},
      outbox: outbox.disconnected(store.state.outbox),
      timelines: Object.fromEntries(Object.entries(timelines).map(([room, held]) => [room, { ...held, live: false }])),
    });
  }

  function become(who) {
    const before = store.state.me;
    const me = before?.id === who.id ? { ...before, ...who } : who;
    if (before && Object.keys(me).every((name) => me[name] === before[name])) return;
    store.set({ me, outbox: outbox.claim(store.state.outbox, me.id) });
  }

  // ---- what the server says

  function receive(frame) {
    happen({ type: 'heard' });
    const lines = wire.parse(frame);
    for (let i = 0; i < lines.length; i++) {
      if (lines[i].t !== 'ev') {
        take(lines[i]);
        continue;
      }
      const from = i;
      while (lines[i + 1]?.t === 'ev' && lines[i + 1].room === lines[from].room) i++;
      deliver(lines[from].room, lines.slice(from, i + 1));
    }
    settle();
  }

  function take(line) {
    switch (line.t) {
      case 'welcome':
        welcome(line);
        break;
      case 'live':
        if (opened.has(line.room)) live(line);
        break;
      case 'reset':
        if (opened.has(line.room)) startOver(line);
        break;
      case 'ack':
        store.set({ outbox: outbox.acked(store.state.outbox, line, timelineOf(line.room).head) });
        break;
      case 'nak':
        refused(line);
        break;
      case 'page':
        page(line);
        break;
      case 'pres': {
        if (!opened.has(line.room)) break;
        const { people } = store.state;
        store.set({ people: { ...people, [line.room]: presence.apply(people[line.room] ?? presence.nobody, line) } });
        break;
      }
      case 'read':
        store.set({ reads: unread.merge(store.state.reads, { [line.room]: line.seq }) });
        told = unread.merge(told, { [line.room]: line.seq });
        break;
      case 'typing':
        store.set({ typing: typing.hear(store.state.typing, line, clock.now()) });
        break;
      case 'err':
        notice('problem', line.msg);
        break;
      case 'resync':
        resync();
        break;
      case 'bye':
        happen({ type: 'bye', afterMs: line.after_ms });
        break;
      case 'ping':
        socket?.send(wire.pong());
        break;
    }
  }

  function welcome({ epoch, user, reads, ping_ms: pingMs }) {
    const { conn, epoch: before, timelines } = store.state;
    const heads = Object.fromEntries([...opened].filter((room) => timelines[room]?.head >= 0).map((room) => [room, timelines[room].head]));
    // After a resync nobody was away; a return that was under way goes on.
    if (conn.name !== 'live') resume = before === '' ? null : { waiting: new Set(opened), heads, loud: clock.now() >= loudAt(conn) };
    become(user);
    if (epoch !== before) adoptEpoch(epoch, reads ?? {});
    else store.set({ reads: unread.merge(store.state.reads, reads ?? {}) });
    told = unread.merge({}, reads ?? {});
    typedAt = 0;
    happen({ type: 'welcome', pingMs });
  }

  // adoptEpoch takes the read marks of this log; those of another mean nothing.
  function adoptEpoch(epoch, known) {
    const stored = storage.get('reads', {});
    store.set({ epoch, reads: unread.merge(known, stored.epoch === epoch ? stored.seqs ?? {} : {}) });
    const { current, reads } = store.state;
    store.set({ divider: reads[current] ?? null });
  }

  function caughtUp(room) {
    if (!resume?.waiting.delete(room) || resume.waiting.size > 0) return;
    const { heads, loud } = resume;
    resume = null;
    if (!loud) return;
    const missed = Object.entries(heads).reduce((sum, [r, head]) => sum + Math.max(0, timelineOf(r).head - head), 0);
    store.set({ notice: backNotice(missed, clock.now()) });
  }

  // live ends what a join, a hello or the repair of a gap began.
  function live({ room, seq }) {
    const { [room]: asked, ...asking } = store.state.asking;
    const repairs = asked?.how === 'join';
    if (repairs) store.set({ asking });
    setTimeline(room, timeline.live(timelineOf(room), seq, repairs ? asked.seq : undefined));
    caughtUp(room);
  }

  function startOver(line) {
    const { [line.room]: _, ...asking } = store.state.asking;
    const held = timeline.reset(timelineOf(line.room), line);
    store.set({ asking, outbox: outbox.arrived(store.state.outbox, line.room, store.state.me?.id, line.events ?? [], held.head) });
    setTimeline(line.room, held);
  }

  function deliver(room, events) {
    if (!opened.has(room)) return;
    const { me, current, atBottom } = store.state;
    const before = timelineOf(room);
    let held = timeline.add(before, events, me?.id);
    if (held.messages.length > MANY_MESSAGES && (atBottom || (room !== current && !held.tail))) held = timeline.trim(held, KEEP_MESSAGES);
    setTimeline(room, held);
    store.set({
      outbox: outbox.arrived(store.state.outbox, room, me?.id, events, held.head),
      typing: typing.spoke(store.state.typing, room, events.filter(isPost).map(({ user }) => user.name)),
    });
    if (before.live && !store.state.visible) for (const event of events) if (mentions(event, me)) notify(room, event);
  }

  function refused(line) {
    if (line.code === 'not_joined') {
      opened.delete(line.room);
      line = { ...line, retry_ms: REJOIN_MS };
    }
    const entry = store.state.outbox.find((e) => e.nonce === line.nonce);
    store.set({ outbox: outbox.refused(store.state.outbox, line, clock.now()) });
    if (!entry || line.retry_ms > 0 || !['del', 'react'].includes(entry.kind)) return;
    store.set({ outbox: outbox.discard(store.state.outbox, line.nonce) }); // nothing is lost by it
    notice('problem', line.msg ?? 'That was not possible.');
  }

  function page(line) {
    const { [line.room]: asked, ...asking } = store.state.asking;
    if (!asked || asked.how === 'join') return;
    store.set({ asking });
    setTimeline(line.room, timeline.page(timelineOf(line.room), asked, line, store.state.me?.id));
    if (asked.how === 'around') arriveAt(line.room);
  }

  const timelineOf = (room) => store.state.timelines[room] ?? timeline.unopened;

  function setTimeline(room, held) {
    const { timelines } = store.state;
    if (timelines[room] !== held) store.set({ timelines: { ...timelines, [room]: held } });
  }

  function notice(kind, text) {
    store.set({ notice: { kind, text, until: clock.now() + NOTICE_MS } });
  }

  // ---- after every change: what follows from it

  function settle() {
    const now = clock.now();
    store.set({ now, ...unread.settle(store.state) });
    if (store.state.conn.name === 'live') {
      followRooms();
      askForMissing();
      askForTarget();
      sendDue(now);
    }
    save(now);
    schedule(now);
  }

  function followRooms() {
    const rooms = new Set(wanted(store.state));
    for (const room of opened) {
      if (rooms.has(room)) continue;
      opened.delete(room);
      socket.send(wire.leave(room));
    }
    for (const room of rooms) {
      if (opened.has(room)) continue;
      opened.add(room);
      socket.send(wire.join(room, cursor(store.state, room)));
    }
  }

  // askForMissing repairs a gap: a room that is joined again comes from the
  // cursor on, whatever happened in it.
  function askForMissing() {
    for (const [room, held] of Object.entries(store.state.timelines)) {
      if (held.missing && opened.has(room)) ask(room, 'join', held.head, wire.join);
    }
  }

  // askForTarget goes to the message that the address names.
  function askForTarget() {
    const { current: room, target } = store.state;
    const held = timelineOf(room);
    if (!target || target.found || !held.live || !opened.has(room)) return;
    if (timeline.covers(held, target.seq) || target.seq > held.head) arriveAt(room);
    else ask(room, 'around', target.seq, wire.getAround);
  }

  function arriveAt(room) {
    const { current, target } = store.state;
    if (room !== current || !target || target.found) return;
    const found = timeline.covers(timelineOf(room), target.seq);
    store.set({ target: found ? { ...target, found } : null });
    if (!found) notice('problem', 'That message is not in this room.');
  }

  function ask(room, how, seq, line) {
    const { asking } = store.state;
    if (asking[room]) return;
    store.set({ asking: { ...asking, [room]: { how, seq } } });
    socket.send(line(room, seq));
  }

  function sendDue(now) {
    for (const entry of outbox.due(store.state.outbox, store.state.me.id, now)) {
      store.set({ outbox: outbox.sent(store.state.outbox, entry.nonce, now) });
      socket.send(wire.entry(entry));
    }
  }

  function save(now) {
    const { outbox: entries, drafts, joined, reads } = store.state;
    if (saved.outbox !== entries) tabs.save(outbox.unconfirmed(entries));
    if (saved.drafts !== drafts) storage.set('drafts', drafts);
    if (saved.joined !== joined) storage.set('rooms', joined);
    Object.assign(saved, { outbox: entries, drafts, joined });
    if (saved.reads !== reads && now >= readsSavedAt + SAVE_READS_MS) saveReads(now);
  }

  function saveReads(now) {
    const { epoch, reads } = store.state;
    if (!epoch) return;
    const stored = storage.get('reads', {});
    const others = stored.epoch === epoch ? stored.seqs ?? {} : {};
    storage.set('reads', { epoch, seqs: unread.merge(reads, others) });
    saved.reads = reads;
    readsSavedAt = now;
    tellReads();
  }

  // tellReads lets this person's other devices know.
  function tellReads() {
    const { conn, reads } = store.state;
    if (conn.name !== 'live') return;
    for (const room of opened) {
      if (!(reads[room] > (told[room] ?? -1))) continue;
      told[room] = reads[room];
      socket.send(wire.read(room, reads[room]));
    }
  }

  // schedule sets the one timer of this page to the next moment at which
  // something changes by itself.
  function schedule(now) {
    const { conn, outbox: entries, me, notice: word, reads, epoch, current } = store.state;
    const at = Math.min(
      connection.deadline(conn),
      nextChange(conn, word, now),
      conn.name === 'live' && me ? outbox.nextDue(entries, me.id) : Infinity,
      epoch && saved.reads !== reads ? readsSavedAt + SAVE_READS_MS : Infinity,
      typing.nextChange(store.state.typing, current, now),
      dayOf(now)[1],
    );
    clock.clear(timer);
    timer = clock.after(Math.max(0, at - now), () => happen({ type: 'timer' }));
  }

  const storedRooms = () => [storage.get('rooms', [])].flat().filter((room) => typeof room === 'string' && isRoomName(room));

  // ---- what the person does

  // enter puts into the outbox what somebody did in the room on the screen.
  function enter(fields) {
    const { current: room, me, outbox: entries } = store.state;
    store.set({ outbox: [...entries, outbox.entry({ nonce: nonce(), room, user: me.id, at: clock.now(), ...fields })] });
    settle();
  }

  // replace is enter for what makes an earlier, failed change of the same
  // message pointless.
  function replace(fields) {
    const { current, outbox: entries } = store.state;
    const failed = outbox.about(entries, current, fields.of).filter((e) => e.state === 'failed');
    store.set({ outbox: failed.reduce((left, e) => outbox.discard(left, e.nonce), entries) });
    enter(fields);
  }

  function tellTyping(room) {
    const now = clock.now();
    if (store.state.conn.name !== 'live' || !opened.has(room) || now - typedAt < typing.TELL_MS) return;
    typedAt = now;
    socket.send(wire.typing(room));
  }

  async function refreshRooms() {
    try {
      store.set({ directory: await api.rooms() });
    } catch {
      // The list is a convenience; the socket tells when the server is away.
    }
  }

  function look(fields) {
    const before = store.state;
    if (Object.entries(fields).every(([name, value]) => before[name] === value)) return;
    store.set(fields);
    const looked = before.visible && before.atBottom;
    const looks = store.state.visible && store.state.atBottom;
    const read = before.reads[before.current];
    if (looked && !looks && read === timelineOf(before.current).head) store.set({ divider: null });
    settle();
  }

  return {
    // start comes before anything else: it reads what the last page left.
    start() {
      store.set({ drafts: storage.get('drafts', {}), joined: storedRooms(), now: clock.now() });
      Object.assign(saved, { outbox: store.state.outbox, drafts: store.state.drafts, joined: store.state.joined, reads: store.state.reads });
      tabs.start((orphans) => {
        store.set({ outbox: outbox.adopt(store.state.outbox, orphans, store.state.me?.id ?? orphans[0].user) });
        settle();
      });
      happen({ type: 'start' });
    },

    async signIn(name, password) {
      if (store.state.signingIn) return;
      store.set({ signingIn: true, signInError: '' });
      try {
        const me = await api.signIn(name, password);
        store.set({ signingIn: false });
        this.become(me);
      } catch (error) {
        store.set({ signingIn: false, signInError: error.status ? error.message : 'The server cannot be reached. Try again.' });
      }
    },

    // openRoom shows a room, at the message seq if one is given.
    openRoom(room, seq = null) {
      const { current, joined, reads } = store.state;
      const target = seq && { seq, found: false };
      if (room === current) {
        store.set({ drawer: 'none', target });
        settle();
        return;
      }
      if (current && store.state.timelines[current]) setTimeline(current, timeline.trim(timelineOf(current), KEEP_MESSAGES));
      store.set({
        target,
        editing: null,
        current: room,
        joined: joined.includes(room) ? joined : [...joined, room],
        divider: reads[room] ?? null,
        atBottom: false,
        drawer: 'none',
        search: '',
      });
      settle();
    },

    leaveRoom(room, otherwise) {
      const { joined, timelines, people, reads } = store.state;
      const without = ({ [room]: _, ...rest }) => rest;
      const left = joined.filter((other) => other !== room);
      store.set({ joined: left, timelines: without(timelines), people: without(people), reads: without(reads) });
      if (store.state.current === room) this.openRoom(left.at(-1) ?? otherwise);
      else settle();
    },

    // say posts text to the current room; false if it cannot be posted.
    say(typed) {
      const text = clean(typed);
      if (text === '' || length(text) > wire.MAX_TEXT) return false;
      const { current: room, drafts, spoken } = store.state;
      const { [room]: _, ...otherDrafts } = drafts;
      setTimeline(room, timeline.latest(timelineOf(room)));
      store.set({ drafts: otherDrafts, spoken: spoken + 1, divider: null });
      enter({ text });
      typedAt = 0;
      return true;
    },

    // startEdit puts a message of one's own into the composer; without seq the
    // last one. False if there is none.
    startEdit(seq) {
      const { me, current } = store.state;
      const own = (message) => message.user.id === me?.id && !message.deleted;
      const message = seq ? timeline.find(timelineOf(current), seq) : timeline.end(timelineOf(current)).messages.findLast(own);
      if (!message || !own(message)) return false;
      const pending = outbox.about(store.state.outbox, current, message.seq).findLast((e) => e.kind === 'edit');
      store.set({ editing: { seq: message.seq, text: pending?.text ?? message.text } });
      return true;
    },

    setEdit(text) {
      const { editing } = store.state;
      if (editing) store.set({ editing: { ...editing, text } });
    },

    cancelEdit: () => store.set({ editing: null }),

    // finishEdit sends the new text; false if it cannot be posted.
    finishEdit() {
      const { editing, current } = store.state;
      const text = clean(editing.text);
      if (text === '' || length(text) > wire.MAX_TEXT) return false;
      store.set({ editing: null });
      if (text !== timeline.find(timelineOf(current), editing.seq)?.text) replace({ kind: 'edit', of: editing.seq, text });
      return true;
    },

    remove(seq) {
      if (store.state.editing?.seq === seq) store.set({ editing: null });
      replace({ kind: 'del', of: seq });
    },

    // react gives a reaction, or takes one's own back.
    react(seq, emoji) {
      const { current, me, outbox: entries } = store.state;
      const held = timeline.find(timelineOf(current), seq);
      if (!held || held.deleted) return;
      const waiting = outbox.about(entries, current, seq).findLast((e) => e.kind === 'react' && e.emoji === emoji && e.user === me.id);
      enter({ kind: 'react', of: seq, emoji, on: !(waiting ? waiting.on : held.reactions?.[emoji]?.mine ?? false) });
    },

    retry(entryNonce) {
      const { outbox: entries, me, spoken } = store.state;
      store.set({ outbox: outbox.retry(entries, entryNonce, me.id, clock.now()), spoken: spoken + 1 });
      settle();
    },

    // become is told who has this browser's session now.
    become(me) {
      become(me);
      if (store.state.conn.name === 'stopped' && store.state.conn.why === 'session') happen({ type: 'start' });
    },

    // ended is told that this session is no more.
    ended: () => happen({ type: 'refused', why: 'session' }),

    discard(entryNonce) {
      store.set({ outbox: outbox.discard(store.state.outbox, entryNonce) });
      settle();
    },

    loadOlder() {
      const { conn, current: room } = store.state;
      const held = timelineOf(room);
      if (conn.name !== 'live' || !opened.has(room) || held.head === timeline.UNKNOWN || held.start) return;
      ask(room, 'before', held.after + 1, wire.getBefore);
    },

    loadNewer() {
      const { conn, current: room } = store.state;
      const { tail, messages } = timelineOf(room);
      if (conn.name === 'live' && opened.has(room) && tail) ask(room, 'after', messages.at(-1).seq, wire.getAfter);
    },

    // toLatest goes to the end of the room on the screen.
    toLatest() {
      const { current, jumps } = store.state;
      setTimeline(current, timeline.latest(timelineOf(current)));
      store.set({ jumps: jumps + 1, target: null });
      settle();
    },

    setDraft(text) {
      const { current: room, drafts } = store.state;
      if ((drafts[room] ?? '') === text) return;
      const { [room]: _, ...others } = drafts;
      store.set({ drafts: text === '' ? others : { ...others, [room]: text } });
      if (text !== '') tellTyping(room);
      settle();
    },

    setVisible: (visible) => look({ visible }),
    setAtBottom: (atBottom) => look({ atBottom }),
    setDrawer: (drawer) => store.set({ drawer }),
    setSearch: (search) => store.set({ search }),
    openMenu: (menu) => store.set({ menu }),
    closeMenu: () => store.set({ menu: null }),
    notice,
    refreshRooms,
    retryNow: () => happen({ type: 'retry' }),
    wake: () => happen({ type: 'wake' }),

    // changedElsewhere: another tab has written key.
    changedElsewhere(key) {
      tabs.changed(key);
      const { epoch, reads, current } = store.state;
      if (key === 'reads') {
        const stored = storage.get('reads', {});
        if (stored.epoch === epoch) store.set({ reads: unread.merge(reads, stored.seqs ?? {}) });
        saved.reads = store.state.reads;
      }
      if (key === 'rooms') {
        const rooms = storedRooms();
        store.set({ joined: rooms.includes(current) || !current ? rooms : [...rooms, current] });
        saved.joined = store.state.joined;
      }
      settle();
    },

    // leave is called when the page goes away.
    leave() {
      if (saved.reads !== store.state.reads) saveReads(clock.now());
    },
  };
}
