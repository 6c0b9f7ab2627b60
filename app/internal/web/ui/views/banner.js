// A word about the connection, above the messages and never moving them.
import { setText } from './element.js';
import { banner } from '../model/banner.js';

const ACTIONS = {
  retry: { label: 'Retry now', run: (client) => client.retryNow() },
  reload: { label: 'Reload', run: () => location.reload() },
};

export function mountBanner(root, client) {
  const text = root.querySelector('.text');
  const button = root.querySelector('button');
  let action = null;
  let returnTo = null;

  button.addEventListener('focus', (event) => (returnTo = event.relatedTarget));
  button.addEventListener('click', () => {
    action?.run(client);
    returnTo?.focus(); // the button goes away
  });

  return (state) => {
    const word = banner(state.conn, state.notice, state.now);
    root.classList.toggle('shown', word !== null);
    if (!word) return; // the words stay while it fades
    root.dataset.kind = word.kind;
    setText(text, word.text);
    action = ACTIONS[word.action] ?? null;
    button.hidden = !action;
    if (action) setText(button, action.label);
  };
}
