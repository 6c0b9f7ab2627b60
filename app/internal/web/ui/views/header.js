// The head of a room: its name, who is in it, and the ways to what a small
// screen hides.
import { keyed, setAttribute, setText } from './element.js';
import { avatar } from './avatar.js';
import { nobody } from '../model/presence.js';
import { countOf, total } from '../model/unread.js';

const FACES = 3;

export function mountHeader(root, client, openSearch) {
  const title = root.querySelector('h1');
  const menu = root.querySelector('.menu');
  const badge = menu.querySelector('.badge');
  const people = root.querySelector('.who');
  const count = people.querySelector('.count');
  const drawFaces = keyed(people.querySelector('.faces'), avatar, () => {});

  root.querySelector('.search').addEventListener('click', openSearch);
  menu.addEventListener('click', () => client.setDrawer('rooms'));
  people.addEventListener('click', () => client.setDrawer('people'));

  return (state) => {
    const { n, users } = state.people[state.current] ?? nobody;
    setText(title, state.current ?? '');
    setText(count, String(n));
    people.hidden = n === 0;
    setAttribute(people, 'aria-expanded', String(state.drawer === 'people'));
    drawFaces(users.slice(0, FACES).map((user) => ({ ...user, key: `${user.id} ${user.name}` })));

    const elsewhere = total(state) - countOf(state, state.current); // what is new here says the pill
    badge.hidden = elsewhere === 0;
    setText(badge, elsewhere > 99 ? '99+' : String(elsewhere));
    setAttribute(menu, 'aria-label', elsewhere > 0 ? `Rooms, ${elsewhere} unread` : 'Rooms');
    setAttribute(menu, 'aria-expanded', String(state.drawer === 'rooms'));
  };
}
