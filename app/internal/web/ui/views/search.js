// Search in a room: what was found leads to its place in the conversation.
import { element, keyed, setAttribute, setText } from './element.js';
import { mountDialog } from './dialog.js';
import { exact, iso, when } from '../model/dates.js';
import { roomPath } from '../model/roomname.js';

export function mountSearch(dialog, client, search) {
  const show = mountDialog(dialog, search.close);
  const input = dialog.querySelector('input');
  const title = dialog.querySelector('label');
  const status = dialog.querySelector('.summary');
  const more = dialog.querySelector('.older');
  const draw = keyed(dialog.querySelector('ol'), hit, () => {});

  input.addEventListener('input', () => search.type(input.value));
  dialog.querySelector('form').addEventListener('submit', (event) => event.preventDefault());
  more.addEventListener('click', search.more);
  dialog.querySelector('ol').addEventListener('click', (event) => {
    const link = event.target.closest('a');
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.close(); // at once: it gives the focus back before the message takes it
    search.close();
    client.openRoom(link.dataset.room, Number(link.dataset.seq));
  });

  return (state) => {
    const open = state.dialog === 'search';
    show(open, () => {
      input.value = '';
      input.focus();
    });
    if (!open) return;
    const { found } = state;
    setText(title, `Search in #${state.current}`);
    setAttribute(dialog, 'aria-busy', found.busy ? 'true' : null);
    setText(status, wordFor(found));
    more.hidden = !found.more;
    draw(found.events.map((event) => ({ key: String(event.seq), room: found.room, q: found.q, event })));
  };
}

function wordFor({ q, events, busy, problem }) {
  if (problem) return problem;
  if (q === '') return 'Words that the messages have in common, in any order.';
  if (busy && events.length === 0) return 'Searching…';
  return events.length === 0 ? `Nothing here says “${q}”.` : '';
}

const hit = ({ event, room, q }) => element('li', {},
  element('a', { href: `${roomPath(room)}#m${event.seq}`, 'data-room': room, 'data-seq': String(event.seq) },
    element('span', { class: 'from' },
      element('b', {}, event.user.name),
      element('time', { datetime: iso(event.ts), title: exact(event.ts) }, when(event.ts))),
    element('span', { class: 'said', dir: 'auto' }, ...marked(event.text, q))));

// marked shows where the words are.
function marked(text, q) {
  const words = q.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text.split(new RegExp(`(${words.join('|')})`, 'giu')).map((part, i) => (i % 2 ? element('mark', {}, part) : part));
}
