// All state of the page, in one place. Whoever changes it does so by set; the
// views are functions of it and are called once for all changes until the next
// moment to draw, so that a burst of a thousand messages is drawn a few times.
import { idle } from './model/connection.js';

export const initial = Object.freeze({
  me: null, // {id, name, guest, admin}; null while there is no session
  signingIn: false,
  signInError: '',
  conn: idle,
  notice: null, // {kind, text, until}: a passing word in the banner
  epoch: '', // of the log that the timelines are of; '' before the first welcome
  current: null, // the room on the screen
  joined: [], // the person's own rooms, in the order they were first opened
  directory: {}, // room → {head, members}: what the list of rooms said
  timelines: {}, // room → timeline
  people: {}, // room → presence
  asking: {}, // room → {how: before | after | around | join, seq}: a question without its answer
  typing: {}, // room → who writes
  outbox: [],
  reads: {}, // room → seq
  drafts: {}, // room → text
  divider: null, // seq of the last message above the unread line, in the current room
  visible: true, // somebody looks at this tab
  atBottom: false, // the last message is on the screen
  editing: null, // {seq, text}: the message of one's own that is in the composer
  target: null, // {seq, found}: the message that the address names
  menu: null, // {seq}: the message whose actions are offered
  dialog: 'none', // none, account, search
  account: null, // of the account dialog, see account.js
  found: null, // of the search dialog, see search.js
  jumps: 0, // how often this person asked for the end
  spoken: 0, // how often this person sent something here: the view follows each to the bottom
  drawer: 'none', // none, rooms, people: what slides over the messages on a small screen
  search: '', // typed into the room field
  now: 0, // the clock as of the last change
});

// phase is which page to show: the name form, the chat, or neither while the
// first answer is awaited.
export function phase({ me, conn }) {
  if (me) return 'talking';
  return conn.name === 'stopped' && conn.why === 'session' ? 'naming' : 'starting';
}

// createStore makes one. soon(draw) calls draw a little later, once.
export function createStore(fields = {}, soon = queueMicrotask) {
  const views = [];
  let state = { ...initial, ...fields };
  let scheduled = false;

  function draw() {
    scheduled = false;
    for (const view of views) view(state);
  }

  return {
    get state() {
      return state;
    },
    set(changes) {
      state = { ...state, ...changes };
      if (scheduled || views.length === 0) return;
      scheduled = true;
      soon(draw);
    },
    // watch calls view with the state now and after every change.
    watch(view) {
      views.push(view);
      view(state);
    },
  };
}
