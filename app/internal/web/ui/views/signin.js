// The first page of somebody without a session: pick a name and talk.
import { setAttribute, setText } from './element.js';
import { phase } from '../store.js';

export function mountSignIn(root, client) {
  const form = root.querySelector('form');
  const input = root.querySelector('input');
  const button = root.querySelector('.primary');
  const toggle = root.querySelector('.other');
  const secret = root.querySelector('.secret');
  const password = root.querySelector('#password');
  const problem = root.querySelector('.problem');
  const invitation = root.querySelector('.invitation');

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    client.signIn(input.value.trim().replace(/\s+/g, ' '), secret.hidden ? '' : password.value);
  });
  toggle.addEventListener('click', () => {
    secret.hidden = !secret.hidden;
    password.required = !secret.hidden;
    password.value = '';
    (input.value === '' || secret.hidden ? input : password).focus();
    label();
  });

  function label() {
    const known = !secret.hidden;
    setText(toggle, known ? 'Talk as a guest instead' : 'I have a password');
    setText(button, known ? 'Sign in' : 'Start talking');
  }

  return (state) => {
    const show = phase(state) === 'naming';
    if (show && root.hidden) {
      root.hidden = false;
      password.value = '';
      input.select(); // the name that was, to go on with or to type over
    }
    root.hidden = !show;
    if (!show) return;
    setText(invitation, state.epoch ? 'Your session has ended. Pick a name to go on.' : `Pick a name and join #${state.current}.`);
    setText(problem, state.signInError);
    setAttribute(input, 'aria-invalid', state.signInError ? 'true' : null);
    button.disabled = state.signingIn;
  };
}
