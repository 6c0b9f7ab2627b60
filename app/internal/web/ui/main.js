// The entry: it joins the client, the views and the browser.
import { createClient } from './client.js';
import { createStore } from './store.js';
import { roomOfPath, roomPath, seqOfHash } from './model/roomname.js';
import * as api from './platform/api.js';
import { openSocket } from './platform/socket.js';
import { createNotifications } from './platform/notifications.js';
import { browserStorage, keyOf } from './platform/storage.js';
import { createTabs } from './platform/tabs.js';
import { mountAnnouncer } from './views/announcer.js';
import { mountBanner } from './views/banner.js';
import { mountComposer } from './views/composer.js';
import { mountDrawers } from './views/drawers.js';
import { mountHeader } from './views/header.js';
import { mountMessages } from './views/messages.js';
import { mountPeople } from './views/people.js';
import { mountRooms } from './views/rooms.js';
import { mountSignIn } from './views/signin.js';
import { mountTitle } from './views/title.js';

const HOME = 'lobby';
const REFRESH_ROOMS_MS = 60_000;
const HIDDEN_FRAME_MS = 150;

const byId = (id) => document.getElementById(id);

// identifier is 128 random bits. (randomUUID needs a secure context.)
function identifier() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// nextFrame draws with the next frame of the screen. A hidden tab has none,
// and its title must tell what is unread all the same.
function nextFrame(draw) {
  const timer = setTimeout(run, HIDDEN_FRAME_MS);
  const frame = requestAnimationFrame(run);
  function run() {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    draw();
  }
}

const storage = browserStorage();
const store = createStore({ visible: !document.hidden }, nextFrame);
const clock = { now: () => Date.now(), after: (ms, f) => setTimeout(f, Math.min(ms, 2 ** 31 - 1)), clear: clearTimeout.bind(globalThis) };
const notifications = createNotifications(storage, (room, seq) => client.openRoom(room, seq));
const client = createClient({
  store,
  api,
  openSocket,
  storage,
  tabs: createTabs({ locks: navigator.locks, storage, id: identifier() }),
  clock,
  random: Math.random,
  nonce: identifier,
  notify: notifications.tell,
});

client.start();
const lastRoom = storage.get('room', HOME);
client.openRoom(roomOfPath(location.pathname) ?? roomOfPath(roomPath(lastRoom)) ?? HOME, seqOfHash(location.hash));
history.replaceState(null, '', roomPath(store.state.current) + location.hash);

const chat = byId('chat');
const composer = byId('composer');

// dialogs are fetched once, and once more where that has failed.
let fetched = null;
function dialogs() {
  fetched ??= import('./dialogs.js')
    .then(({ mountDialogs }) => mountDialogs({ store, client, clock, notifications, byId, composer: composer.querySelector('textarea') }))
    .catch(() => {
      fetched = null;
      client.notice('problem', 'The server cannot be reached. Try again.');
      return {};
    });
  return fetched;
}
const open = (name) => () => dialogs().then((each) => each[name]?.());

store.watch(mountDrawers({ chat, main: byId('room'), drawers: { rooms: byId('rooms'), people: byId('people') }, scrim: byId('scrim') }, client));
store.watch(mountSignIn(byId('signin'), client));
store.watch(mountRooms(byId('rooms'), client, open('account')));
store.watch(mountHeader(byId('header'), client, open('search')));
store.watch(mountPeople(byId('people'), client, HOME));
store.watch(mountBanner(byId('banner'), client));
store.watch(mountComposer(composer, client));
store.watch(mountMessages({ scroller: byId('scroller'), list: byId('messages'), pill: byId('pill'), composer: composer.querySelector('textarea') }, client));
store.watch(mountAnnouncer(byId('announcer')));
store.watch(mountTitle());
(globalThis.requestIdleCallback ?? setTimeout)(dialogs);

// The address is a view of the state, and going back is an act of the person.
store.watch(({ current }) => {
  if (roomOfPath(location.pathname) !== current) history.pushState(null, '', roomPath(current));
  storage.set('room', current);
});
addEventListener('popstate', () => client.openRoom(roomOfPath(location.pathname) ?? HOME, seqOfHash(location.hash)));

document.addEventListener('visibilitychange', () => {
  client.setVisible(!document.hidden);
  if (!document.hidden) client.wake();
});
addEventListener('online', () => client.wake());
addEventListener('storage', (event) => {
  const key = keyOf(event);
  if (key) client.changedElsewhere(key);
});
addEventListener('pagehide', () => client.leave());
setInterval(() => document.hidden || client.refreshRooms(), REFRESH_ROOMS_MS);

// Ctrl or Cmd with F stays the browser's; with K it is ours, as elsewhere.
addEventListener('keydown', (event) => {
  if (event.key !== 'k' || !(event.ctrlKey || event.metaKey) || !store.state.me || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  open('search')();
});
