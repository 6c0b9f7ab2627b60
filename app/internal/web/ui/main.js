// The entry: it joins the client, the views and the browser.
import { createClient } from './client.js';
import { createStore } from './store.js';
import { roomOfPath, roomPath } from './model/roomname.js';
import * as api from './platform/api.js';
import { openSocket } from './platform/socket.js';
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
const client = createClient({
  store,
  api,
  openSocket,
  storage,
  tabs: createTabs({ locks: navigator.locks, storage, id: identifier() }),
  clock: { now: () => Date.now(), after: (ms, f) => setTimeout(f, Math.min(ms, 2 ** 31 - 1)), clear: clearTimeout.bind(globalThis) },
  random: Math.random,
  nonce: identifier,
});

client.start();
const lastRoom = storage.get('room', HOME);
client.openRoom(roomOfPath(location.pathname) ?? roomOfPath(roomPath(lastRoom)) ?? HOME);
history.replaceState(null, '', roomPath(store.state.current));

const chat = byId('chat');
const composer = byId('composer');
store.watch(mountDrawers({ chat, main: byId('room'), drawers: { rooms: byId('rooms'), people: byId('people') }, scrim: byId('scrim') }, client));
store.watch(mountSignIn(byId('signin'), client));
store.watch(mountRooms(byId('rooms'), client));
store.watch(mountHeader(byId('header'), client));
store.watch(mountPeople(byId('people'), client, HOME));
store.watch(mountBanner(byId('banner'), client));
store.watch(mountComposer(composer, client));
store.watch(mountMessages({ scroller: byId('scroller'), list: byId('messages'), pill: byId('pill'), composer: composer.querySelector('textarea') }, client));
store.watch(mountAnnouncer(byId('announcer')));
store.watch(mountTitle());

// The address is a view of the state, and going back is an act of the person.
store.watch(({ current }) => {
  if (roomOfPath(location.pathname) !== current) history.pushState(null, '', roomPath(current));
  storage.set('room', current);
});
addEventListener('popstate', () => client.openRoom(roomOfPath(location.pathname) ?? HOME));

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
