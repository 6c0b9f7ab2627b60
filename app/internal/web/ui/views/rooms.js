// The list of rooms, the field that finds or makes one, and who I am.
import { element, keyed, setAttribute, setText } from './element.js';
import { avatar } from './avatar.js';
import { roomList } from '../model/roomlist.js';
import { roomName, roomPath } from '../model/roomname.js';

export function mountRooms(root, client, openAccount) {
  const form = root.querySelector('form');
  const input = root.querySelector('input');
  const create = root.querySelector('.create');
  const createName = create.querySelector('b');
  const own = root.querySelector('.own');
  const others = root.querySelector('.others');
  const me = root.querySelector('.me');
  const drawOwn = keyed(own.querySelector('ul'), room, updateRoom);
  const drawOthers = keyed(others.querySelector('ul'), room, updateRoom);
  let shownName = null;

  const open = (name) => {
    input.value = '';
    client.openRoom(name);
  };

  me.addEventListener('click', openAccount);
  input.addEventListener('input', () => client.setSearch(input.value));
  input.addEventListener('focus', () => client.refreshRooms());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = roomName(input.value);
    if (name) open(name);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || input.value === '') return;
    event.stopPropagation();
    input.value = '';
    client.setSearch('');
  });
  root.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-room]');
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open(link.dataset.room);
  });

  return (state) => {
    const list = roomList(state);
    drawOwn(list.own);
    drawOthers(list.others);
    own.hidden = list.own.length === 0;
    others.hidden = list.others.length === 0;
    create.hidden = list.create === '';
    if (list.create) {
      create.setAttribute('href', roomPath(list.create));
      create.dataset.room = list.create;
      setText(createName, `#${list.create}`);
    }
    if (state.search === '' && document.activeElement !== input) input.value = '';
    if (state.me && state.me !== shownName) {
      shownName = state.me;
      me.replaceChildren(avatar(state.me), element('span', { class: 'name' }, state.me.name), element('span', { class: 'unseen' }, ', your account'));
    }
  };
}

function room(row) {
  const link = element('a', { href: roomPath(row.room), 'data-room': row.room },
    element('span', { class: 'name' }, row.room),
    element('span', { class: 'members' }),
    element('span', { class: 'badge', 'aria-hidden': 'true' }),
    element('span', { class: 'unseen' }));
  const item = element('li', {}, link);
  updateRoom(item, row);
  return item;
}

function updateRoom(item, { unread, members, current }) {
  const [, count, badge, spoken] = item.firstChild.children;
  setAttribute(item.firstChild, 'aria-current', current ? 'page' : null);
  item.classList.toggle('unread', unread > 0);
  badge.hidden = unread === 0;
  setText(count, members > 0 ? `${members} here` : '');
  setText(badge, unread > 99 ? '99+' : String(unread));
  setText(spoken, unread > 0 ? ` ${unread} unread` : '');
}
