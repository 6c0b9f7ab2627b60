// One row of the message list.
import { element } from './element.js';
import { avatar } from './avatar.js';
import { hueOf } from '../model/avatar.js';
import { clock, dayName, exact, iso } from '../model/dates.js';
import { tokens } from '../model/links.js';
import { isEmoji } from '../model/text.js';

// row makes the element of a row, and updateRow makes it fit a changed one.
export function row(item, client) {
  switch (item.kind) {
    case 'start':
      return element('li', { class: 'start' },
        element('h2', {}, `#${item.room}`),
        element('p', {}, item.empty ? 'Nobody has said anything here yet. Be the first, or invite others with the address of this page.' : 'This is where the room begins.'));
    case 'day':
      return element('li', { class: 'day' }, element('time', { datetime: iso(item.ts).slice(0, 10) }, item.name));
    case 'unread':
      return element('li', { class: 'divider' }, element('span', {}, 'New'));
    default:
      return message(item, client);
  }
}

export function updateRow(node, item, client) {
  const fresh = row(item, client);
  const focused = node === document.activeElement;
  node.className = fresh.className;
  node.id = fresh.id;
  node.replaceChildren(...fresh.childNodes);
  if (focused) node.focus();
}

export const withDayName = (item, now) => (item.kind === 'day' ? { ...item, name: dayName(item.ts, now) } : item);

function message(item, client) {
  const classes = ['message', item.mine ? 'mine' : 'theirs', item.state];
  if (item.first) classes.push('first');
  if (isEmoji(item.text)) classes.push('emoji');
  const node = element('li', { class: classes.join(' '), tabindex: '-1' });
  if (item.seq) node.id = `m${item.seq}`;
  if (item.first && !item.mine) node.append(avatar({ id: item.user, name: item.name }));
  node.append(
    element('p', { class: 'byline' },
      element('span', { class: `author hue-${hueOf(item.user)}` }, item.mine ? 'You' : item.name),
      element('time', { datetime: iso(item.ts), title: exact(item.ts) }, clock(item.ts))),
    element('p', { class: 'text', dir: 'auto' }, ...content(item.text)));
  const status = statusOf(item, client);
  if (status) node.append(status);
  return node;
}

const content = (text) => tokens(text).map(({ text: piece, href }) =>
  href ? element('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, piece) : piece);

function statusOf({ state, msg, nonce }, client) {
  switch (state) {
    case 'pending':
      return element('p', { class: 'status' }, 'Sending…');
    case 'failed':
      return element('p', { class: 'status' },
        element('span', {}, `Not sent. ${msg}${/[.!?]$/.test(msg) || msg === '' ? '' : '.'}`),
        element('button', { type: 'button', onclick: () => client.retry(nonce) }, 'Try again'),
        element('button', { type: 'button', onclick: () => client.discard(nonce) }, 'Discard'));
  }
  return null;
}
