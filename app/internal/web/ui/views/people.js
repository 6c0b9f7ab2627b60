// Who is in the room.
import { element, keyed, setText } from './element.js';
import { avatar } from './avatar.js';
import { nobody } from '../model/presence.js';

export function mountPeople(root, client, home) {
  const summary = root.querySelector('.summary');
  const leave = root.querySelector('.leave');
  const draw = keyed(root.querySelector('ul'), person, () => {});
  let current = null;

  leave.addEventListener('click', () => client.leaveRoom(current, home));

  return (state) => {
    current = state.current;
    const { n, users } = state.people[current] ?? nobody;
    setText(summary, n > 0 ? `${n} here` : '');
    draw(users.map((user) => {
      const me = user.id === state.me?.id;
      return { ...user, me, key: `${user.id} ${user.name} ${me}` };
    }));
    leave.hidden = state.joined.length < 2;
    setText(leave, `Leave #${current}`);
  };
}

const person = (user) => element('li', {},
  avatar(user),
  element('span', { class: 'name' }, user.name),
  ...(user.me ? [element('span', { class: 'you' }, 'you')] : []));
