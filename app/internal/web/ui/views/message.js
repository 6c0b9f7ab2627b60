// One row of the message list.
import { element } from './element.js';
import { avatar } from './avatar.js';
import { hueOf } from '../model/avatar.js';
import { clock, dayName, exact, iso, isoDay } from '../model/dates.js';
import { counted } from '../model/fold.js';
import { tokens } from '../model/links.js';
import { mentioned } from '../model/mention.js';
import { isEmoji } from '../model/text.js';

// row makes the element of a row, and updateRow makes it fit a changed one.
export function row(item, client) {
  switch (item.kind) {
    case 'start':
      return element('li', { class: 'start' },
        element('h2', {}, `#${item.room}`),
        element('p', {}, item.empty ? 'Nobody has said anything here yet. Be the first, or invite others with the address of this page.' : 'This is where the room begins.'));
    case 'day':
      return element('li', { class: 'day' }, element('time', { datetime: isoDay(item.ts) }, item.name));
    case 'unread':
      return element('li', { class: 'divider' }, element('span', {}, 'New'));
    default:
      return message(item, client);
  }
}

export function updateRow(node, item, client) {
  const fresh = row(item, client);
  const focused = node.contains(document.activeElement);
  node.className = fresh.className;
  node.id = fresh.id;
  renew(node, [...fresh.childNodes]);
  if (focused && !node.contains(document.activeElement)) node.focus({ preventScroll: true });
}

// renew gives node other parts. What looks the same stays, and with it a
// selection, or a touch that is under way; but not the status, whose buttons
// may have become another message's.
function renew(node, parts) {
  let place = node.firstChild;
  for (const part of parts) {
    if (place?.isEqualNode(part) && part.className !== 'status') place = place.nextSibling;
    else node.insertBefore(part, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

export const withDayName = (item, now) => (item.kind === 'day' ? { ...item, name: dayName(item.ts, now) } : item);

function message(item, client) {
  const node = element('li', { class: classes(item), tabindex: '-1' });
  if (item.seq) node.id = `m${item.seq}`;
  if (item.first && !item.mine) node.append(avatar({ id: item.user, name: item.name }));
  node.append(
    element('p', { class: 'byline' },
      element('span', { class: `author hue-${hueOf(item.user)}` }, item.mine ? 'You' : item.name),
      element('time', { datetime: iso(item.ts), title: exact(item.ts) }, clock(item.ts))),
    body(item, client));
  for (const part of [footOf(item, client), statusOf(item, client)]) if (part) node.append(part);
  return node;
}

function classes(item) {
  const list = ['message', item.mine ? 'mine' : 'theirs', item.state];
  if (item.first) list.push('first');
  if (item.deleted) list.push('gone');
  else if (isEmoji(item.text)) list.push('emoji');
  return list.join(' ');
}

// body is the text, and beside it the way to what can be done with it. The
// keyboard has Enter on the message for that.
function body(item, client) {
  if (item.deleted) return element('p', { class: 'text' }, item.mine ? 'You deleted this message' : 'This message was deleted');
  const text = element('p', { class: 'text', dir: 'auto' }, ...content(item.text, item.me));
  if (!item.seq) return text;
  const more = element('button', { type: 'button', class: 'more', tabindex: '-1', 'aria-label': 'React and more', onclick: () => client.openMenu({ seq: item.seq, view: 'actions' }) }, dots());
  return element('div', { class: 'body' }, text, more);
}

const SVG = 'http://www.w3.org/2000/svg';

function dots() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', 'M17 10a7 7 0 1 1-4-6.3M7.500 8.500v.01M12 8.500v.01M7 12q2.500 2.500 5.500 0M16.500 2v5M14 4.500h5');
  svg.append(path);
  return svg;
}

const content = (text, me) => tokens(text).flatMap(({ text: piece, href }) =>
  href ? [element('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, piece)] : withMentions(piece, me));

// withMentions marks where the text speaks to the person at this page.
function withMentions(text, me) {
  const parts = [];
  let from = 0;
  for (const { at, length } of mentioned(text, [me])) {
    parts.push(text.slice(from, at), element('mark', {}, text.slice(at, at + length)));
    from = at + length;
  }
  return [...parts, text.slice(from)].filter((part) => part !== '');
}

// footOf is what others made of the message, and whether it was changed.
function footOf({ reactions, edited, seq, deleted }, client) {
  const list = deleted ? [] : counted(reactions);
  if (list.length === 0 && !(edited && !deleted)) return null;
  return element('div', { class: 'foot' },
    ...list.map(([emoji, { n, mine }]) => element('button', {
      type: 'button', class: 'reaction', tabindex: '-1', 'aria-pressed': String(mine), 'aria-label': `${emoji} ${n}${mine ? ', with you' : ''}`,
      onclick: () => client.react(seq, emoji),
    }, element('span', {}, emoji), element('span', { class: 'n' }, String(n)))),
    ...(edited ? [element('span', { class: 'edited', title: exact(edited) }, 'edited')] : []));
}

const FAILED = { '': 'Not sent.', edit: 'Not changed.' };

function statusOf({ state, msg, nonce, change }, client) {
  switch (state) {
    case 'pending':
      return element('p', { class: 'status' }, change ? 'Saving…' : 'Sending…');
    case 'failed':
      return element('p', { class: 'status' },
        element('span', {}, `${FAILED[change] ?? FAILED['']} ${msg}${/[.!?]$/.test(msg) || msg === '' ? '' : '.'}`),
        element('button', { type: 'button', onclick: () => client.retry(nonce) }, 'Try again'),
        element('button', { type: 'button', onclick: () => client.discard(nonce) }, 'Discard'));
  }
  return null;
}
