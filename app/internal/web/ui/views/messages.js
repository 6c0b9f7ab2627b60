// The messages of the room on the screen, and where in them we are.
//
// The position is never lost: whoever is at the end stays there, whoever is
// elsewhere keeps the line they are reading where it is, whatever arrives
// above or below. Only one's own message and a click go to the end.
import { keyed, setAttribute, setText } from './element.js';
import { row, updateRow, withDayName } from './message.js';
import { rows } from '../model/rows.js';
import { dayOf } from '../model/dates.js';
import { UNKNOWN, unopened } from '../model/timeline.js';
import { countOf } from '../model/unread.js';

const NEAR = 48; // pixels from the end that count as being there
const LOAD_AHEAD = 800; // pixels from the top at which older messages are asked for

export function mountMessages({ scroller, list, pill, composer }, client) {
  const draw = keyed(list, (item) => row(item, client), (node, item) => updateRow(node, item, client));
  const pillText = pill.querySelector('.text');
  let shown = {}; // what the list was drawn from
  let placed = false; // the room on the screen has been scrolled to where it opens
  let atBottom = true;

  const bottom = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const toBottom = () => (scroller.scrollTop = scroller.scrollHeight);

  function settle() {
    if (!placed) return;
    atBottom = bottom() < NEAR;
    client.setAtBottom(atBottom);
    if (scroller.scrollTop < LOAD_AHEAD) client.loadOlder();
  }

  scroller.addEventListener('scroll', settle, { passive: true });
  pill.addEventListener('click', () => {
    scroller.scrollTo({ top: scroller.scrollHeight, behavior: calm() ? 'auto' : 'smooth' });
    composer.focus();
  });
  // The composer grows, the keyboard slides in, an image of the window is
  // resized: the end stays in sight.
  new ResizeObserver(() => {
    if (atBottom) toBottom();
    settle();
  }).observe(scroller);

  roving(list, composer);

  return (state) => {
    const timeline = state.timelines[state.current] ?? unopened;
    const [today] = dayOf(state.now);
    const now = { room: state.current, timeline, outbox: state.outbox, me: state.me, divider: state.divider, today };
    const changed = Object.keys(now).some((name) => now[name] !== shown[name]);
    const said = state.spoken !== shown.spoken;
    if (changed || said) {
      if (now.room !== shown.room) placed = false;
      const anchor = placed && !atBottom && !said ? firstVisible(scroller, list) : null;
      const items = rows(now).map((item) => withDayName(item, state.now));
      if (items[0]?.kind === 'start') items[0].empty = items.length === 1;
      draw(items);
      keepOneTabStop(list);
      if (placed) keepPlace(anchor);
      else if (timeline.messages.length > 0 || timeline.start) place();
      else client.loadOlder(); // a room that was only followed for its badge
      shown = { ...now, spoken: state.spoken };
    }
    setAttribute(scroller, 'aria-busy', timeline.head === UNKNOWN ? 'true' : null);
    scroller.classList.toggle('loading', Boolean(state.asking[state.current]) || timeline.head === UNKNOWN);
    scroller.classList.toggle('empty', timeline.start && list.childElementCount === 1);

    const unread = placed && !state.atBottom ? countOf(state, state.current) : 0;
    pill.classList.toggle('shown', placed && !state.atBottom);
    setText(pillText, unread > 0 ? `${unread > 99 ? '99+' : unread} new` : '');
    setAttribute(pill, 'aria-label', unread > 0 ? `${unread} new, go to the latest` : 'Go to the latest');
  };

  // place scrolls a room that was just opened to what is new in it, or to its
  // end.
  function place() {
    placed = true;
    toBottom();
    const line = list.querySelector('.divider');
    if (line) scroller.scrollTop = Math.min(scroller.scrollTop, line.offsetTop - scroller.clientHeight / 4);
    settle();
  }

  function keepPlace(anchor) {
    if (anchor) scroller.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    else toBottom();
    settle();
  }
}

const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// firstVisible finds the message at the top of what can be seen, by halving:
// the list may be long. Rows that stick to the top say nothing about a place.
function firstVisible(scroller, list) {
  const edge = scroller.getBoundingClientRect().top;
  const nodes = list.getElementsByClassName('message');
  let [low, high] = [0, nodes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes[middle].getBoundingClientRect().bottom > edge) high = middle;
    else low = middle + 1;
  }
  const node = nodes[low];
  return node ? { node, top: node.getBoundingClientRect().top } : null;
}

// roving makes the list one stop of the Tab key; arrows move within it, Escape
// and any letter return to the composer.
function roving(list, composer) {
  const focus = (node) => {
    if (!node) return;
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: 'nearest' });
  };

  list.addEventListener('keydown', (event) => {
    const from = event.target.closest('.message');
    if (!from) return;
    const all = [...list.getElementsByClassName('message')];
    const at = all.indexOf(from);
    switch (event.key) {
      case 'ArrowUp':
        focus(all[Math.max(0, at - 1)]);
        break;
      case 'ArrowDown':
        if (at === all.length - 1) composer.focus();
        else focus(all[at + 1]);
        break;
      case 'PageUp':
        focus(all[Math.max(0, at - 10)]);
        break;
      case 'PageDown':
        focus(all[Math.min(all.length - 1, at + 10)]);
        break;
      case 'Home':
        focus(all[0]);
        break;
      case 'End':
        focus(all.at(-1));
        break;
      case 'Escape':
        composer.focus();
        break;
      default:
        if (event.target === from && event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey && !event.altKey) composer.focus();
        return;
    }
    event.preventDefault();
  });
  list.addEventListener('focusin', (event) => {
    const node = event.target.closest('.message');
    if (!node) return;
    for (const other of list.querySelectorAll('.message[tabindex="0"]')) other.tabIndex = -1;
    node.tabIndex = 0;
  });
}

// keepOneTabStop: the message last moved to, else the newest.
function keepOneTabStop(list) {
  if (list.querySelector('.message[tabindex="0"]')) return;
  const nodes = list.getElementsByClassName('message');
  if (nodes.length > 0) nodes[nodes.length - 1].tabIndex = 0;
}
