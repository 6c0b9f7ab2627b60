// The first page of somebody without a session: pick a name and talk.
import { setAttribute, setText } from './element.js';
import { phase } from '../store.js';

export function mountSignIn(root, client) {
  const form = root.querySelector('form');
  const input = root.querySelector('input');
  const button = root.querySelector('button');
  const problem = root.querySelector('.problem');
  const invitation = root.querySelector('.invitation');

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    client.signIn(input.value.trim().replace(/\s+/g, ' '));
  });

  return (state) => {
    const show = phase(state) === 'naming';
    if (show && root.hidden) {
      root.hidden = false;
      input.focus();
    }
    root.hidden = !show;
    if (!show) return;
    setText(invitation, state.epoch ? 'Your session has ended. Pick a name to go on.' : `Pick a name and join #${state.current}.`);
    setText(problem, state.signInError);
    setAttribute(input, 'aria-invalid', state.signInError ? 'true' : null);
    button.disabled = state.signingIn;
  };
}
