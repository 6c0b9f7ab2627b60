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

  let held = unopened; // the timeline that is drawn
  let arrived = null; // the target that has been scrolled to

  const bottom = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const toBottom = () => (scroller.scrollTop = scroller.scrollHeight);

  function settle() {
    if (!placed) return;
    atBottom = held.tail === null && bottom() < NEAR;
    client.setAtBottom(atBottom);
    if (scroller.scrollTop < LOAD_AHEAD) client.loadOlder();
    if (held.tail && bottom() < LOAD_AHEAD) client.loadNewer();
  }

  scroller.addEventListener('scroll', settle, { passive: true });
  pill.addEventListener('click', () => {
    if (held.tail) client.toLatest();
    else scroller.scrollTo({ top: scroller.scrollHeight, behavior: calm() ? 'auto' : 'smooth' });
    composer.focus();
  });
  // On a touch screen a message is its own button.
  list.addEventListener('click', (event) => {
    if (!matchMedia('(hover: none)').matches || event.target.closest('a, button') || !getSelection().isCollapsed) return;
    const node = event.target.closest('.message[id]:not(.gone)');
    if (node) client.openMenu({ seq: seqOf(node), view: 'actions' });
  });
  // The composer grows, the keyboard slides in, an image of the window is
  // resized: the end stays in sight.
  new ResizeObserver(() => {
    if (atBottom) toBottom();
    settle();
  }).observe(scroller);

  roving(list, composer, client);

  return (state) => {
    const timeline = state.timelines[state.current] ?? unopened;
    const [today] = dayOf(state.now);
    const now = { room: state.current, timeline, outbox: state.outbox, me: state.me, divider: state.divider, today };
    const changed = Object.keys(now).some((name) => now[name] !== shown[name]);
    const said = state.spoken !== shown.spoken || state.jumps !== shown.jumps;
    if (changed || said) {
      if (now.room !== shown.room) placed = false;
      held = timeline;
      const anchor = placed && !atBottom && !said ? firstVisible(scroller, list) : null;
      const items = rows(now).map((item) => withDayName(item, state.now));
      if (items[0]?.kind === 'start') items[0].empty = items.length === 1;
      draw(items);
      keepOneTabStop(list);
      if (placed) keepPlace(anchor);
      else if (timeline.messages.length > 0 || timeline.start) place();
      else client.loadOlder(); // a room that was only followed for its badge
      shown = { ...now, spoken: state.spoken, jumps: state.jumps };
    }
    arrive(state.target);
    setAttribute(scroller, 'aria-busy', timeline.head === UNKNOWN ? 'true' : null);
    scroller.classList.toggle('loading', Boolean(state.asking[state.current]) || timeline.head === UNKNOWN);
    scroller.classList.toggle('empty', timeline.start && list.childElementCount === 1);

    const unread = placed && !state.atBottom ? countOf(state, state.current) : 0;
    pill.classList.toggle('shown', placed && !state.atBottom);
    setText(pillText, unread > 0 ? `${unread > 99 ? '99+' : unread} new` : '');
    setAttribute(pill, 'aria-label', unread > 0 ? `${unread} new, go to the latest` : 'Go to the latest');
  };

  // arrive shows the message that the address names, once.
  function arrive(target) {
    if (!target?.found || target === arrived) return;
    arrived = target;
    const node = nodeAt(list, target.seq);
    if (!node) return;
    placed = true;
    node.scrollIntoView({ block: 'center' });
    node.classList.add('target');
    node.addEventListener('animationend', () => node.classList.remove('target'), { once: true });
    node.focus({ preventScroll: true });
    settle();
  }

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
    if (anchor) scroller.scrollTop += anchor.node.getBoundingClientRect()[anchor.edge] - anchor.at;
    else toBottom();
    settle();
  }
}

const seqOf = (node) => Number(node.id.slice(1));

// nodeAt is the message seq, or the first one after it.
function nodeAt(list, seq) {
  return document.getElementById(`m${seq}`) ?? [...list.querySelectorAll('.message[id]')].find((node) => seqOf(node) > seq);
}

const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// firstVisible finds the message at the top of what can be seen, by halving:
// the list may be long. Its lower edge is what the rest hangs on: it may lose
// its author when older ones join it.
function firstVisible(scroller, list) {
  const view = scroller.getBoundingClientRect();
  const nodes = list.getElementsByClassName('message');
  let [low, high] = [0, nodes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nodes[middle].getBoundingClientRect().bottom > view.top) high = middle;
    else low = middle + 1;
  }
  const node = nodes[low];
  if (!node) return null;
  const box = node.getBoundingClientRect();
  const edge = box.bottom < view.bottom ? 'bottom' : 'top';
  return { node, edge, at: box[edge] };
}

// roving makes the list one stop of the Tab key; arrows move within it, Escape
// and any letter return to the composer.
function roving(list, composer, client) {
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
      case 'Enter':
        if (event.target !== from || !from.id || from.classList.contains('gone')) return;
        client.openMenu({ seq: seqOf(from), view: 'actions' });
        break;
      case 'Delete':
        if (event.target !== from || !from.matches('.mine[id]:not(.gone)')) return;
        client.openMenu({ seq: seqOf(from), view: 'delete' });
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

// keepOneTabStop: the message that has the focus, else the newest.
function keepOneTabStop(list) {
  if (list.contains(document.activeElement)) return;
  const nodes = list.getElementsByClassName('message');
  const newest = nodes[nodes.length - 1];
  if (!newest || newest.tabIndex === 0) return;
  for (const other of list.querySelectorAll('.message[tabindex="0"]')) other.tabIndex = -1;
  newest.tabIndex = 0;
}
