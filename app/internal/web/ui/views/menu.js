// What can be done with a message: react, edit, copy, delete. Beside the
// message on a large screen, from below on a small one.
import { element } from './element.js';
import { mountDialog } from './dialog.js';
import { EMOJI, QUICK } from '../model/emoji.js';
import { about } from '../model/outbox.js';
import { roomPath } from '../model/roomname.js';
import { find, unopened } from '../model/timeline.js';

const GAP = 6; // pixels between the message and the menu

export function mountMenu(dialog, client, composer) {
  const show = mountDialog(dialog, client.closeMenu);
  let shown = null;

  // Arrow keys walk through the buttons. Enter that is held down has opened the
  // menu; it chooses nothing.
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.repeat) event.preventDefault();
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...dialog.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  });

  return (state) => {
    const { menu } = state;
    if (menu === shown) return;
    shown = menu;
    const message = menu && find(state.timelines[state.current] ?? unopened, menu.seq);
    if (!message) return show(false);
    dialog.dataset.view = menu.view;
    dialog.replaceChildren(...VIEWS[menu.view]({ message, state, client, composer }));
    show(true);
    place(dialog, document.getElementById(`m${menu.seq}`));
    dialog.querySelector('[data-first]')?.focus();
  };
}

const VIEWS = { actions, emoji, delete: confirmation };

function actions({ message, state, client, composer }) {
  const mine = message.user.id === state.me.id;
  const then = (run) => () => {
    client.closeMenu();
    run();
  };
  const link = () => navigator.clipboard?.writeText(`${location.origin}${roomPath(state.current)}#m${message.seq}`)
    .then(() => client.notice('back', 'Link copied'), () => client.notice('problem', 'The browser does not allow copying.'));
  const reactions = reactionsOf(message, state);
  return [
    element('div', { class: 'quick', role: 'group', 'aria-label': 'React' },
      ...QUICK.map((each, i) => reaction(each, reactions, then(() => client.react(message.seq, each)), i === 0)),
      element('button', { type: 'button', 'aria-label': 'Another emoji', onclick: () => client.openMenu({ ...state.menu, view: 'emoji' }) }, '+')),
    element('div', { class: 'actions' },
      ...(mine ? [action('Edit', then(() => {
        client.startEdit(message.seq);
        composer.focus();
      }))] : []),
      action('Copy link', then(link)),
      ...(mine || state.me.admin ? [action('Delete', () => client.openMenu({ ...state.menu, view: 'delete' }), 'danger')] : [])),
  ];
}

const action = (name, onclick, style = '') => element('button', { type: 'button', class: style, onclick }, name);

const reaction = (emoji, reactions, onclick, first) => element('button', {
  type: 'button', 'aria-label': `React with ${emoji}`, 'aria-pressed': String(reactions.has(emoji)), onclick, 'data-first': first,
}, emoji);

// reactionsOf are the emoji that this person has given.
function reactionsOf(message, { current, me, outbox }) {
  const mine = new Set(Object.entries(message.reactions ?? {}).filter(([, { mine: own }]) => own).map(([each]) => each));
  for (const { kind, user, emoji: each, on } of about(outbox, current, message.seq)) {
    if (kind !== 'react' || user !== me.id) continue;
    if (on) mine.add(each);
    else mine.delete(each);
  }
  return mine;
}

function emoji({ message, client }) {
  const choose = (each) => () => {
    client.closeMenu();
    client.react(message.seq, each);
  };
  return [element('div', { class: 'grid', role: 'group', 'aria-label': 'Emoji' },
    ...EMOJI.map(([name, each], i) => element('button', { type: 'button', title: name, 'aria-label': name.replaceAll('_', ' '), 'data-first': i === 0, onclick: choose(each) }, each)))];
}

function confirmation({ message, client }) {
  const remove = () => {
    client.closeMenu();
    client.remove(message.seq);
  };
  return [
    element('p', { class: 'question' }, 'Delete this message for everybody?'),
    element('div', { class: 'answers' },
      element('button', { type: 'button', class: 'plain', 'data-first': true, onclick: client.closeMenu }, 'Keep it'),
      element('button', { type: 'button', class: 'danger', onclick: remove }, 'Delete')),
  ];
}

// place puts it above or below the message, wherever there is room. On a small
// screen the style has put it at the bottom already.
function place(dialog, node) {
  dialog.style.top = dialog.style.left = '';
  if (!node || matchMedia('(max-width: 720px)').matches) return;
  const anchor = (node.querySelector('.text') ?? node).getBoundingClientRect();
  const { width, height } = dialog.getBoundingClientRect();
  const left = node.classList.contains('mine') ? anchor.right - width : anchor.left;
  const above = anchor.top - height - GAP;
  const below = Math.min(anchor.bottom + GAP, innerHeight - height - GAP);
  dialog.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
  dialog.style.top = `${above > GAP ? above : Math.max(GAP, below)}px`;
}
