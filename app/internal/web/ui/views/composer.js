// The composer: one draft per room, Enter sends, Shift+Enter breaks the line.
import { setAttribute, setText } from './element.js';
import { MAX_TEXT } from '../model/wire.js';
import { length } from '../model/text.js';

const COUNT_FROM = MAX_TEXT - 400; // characters at which the count appears

export function mountComposer(form, client) {
  const field = form.querySelector('textarea');
  const send = form.querySelector('button');
  const count = form.querySelector('.count');
  let room = null;
  let focused = null; // the room that the focus was given for

  const submit = () => {
    if (client.say(field.value)) field.value = '';
    fit();
    field.focus();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  // While an input method composes, Enter chooses a word (229 is what Safari
  // says just after).
  const sends = (event) => event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
  field.addEventListener('keydown', (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    submit();
  });
  // Some virtual keyboards break the line even though keydown was handled.
  field.addEventListener('keypress', (event) => sends(event) && event.preventDefault());
  field.addEventListener('input', () => {
    fit();
    client.setDraft(field.value);
  });
  new ResizeObserver(fit).observe(form); // the window's width changes, or the chat is shown at last

  // fit lets the field grow with the text, up to the height its style allows.
  function fit() {
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }

  return (state) => {
    const draft = state.drafts[state.current] ?? '';
    if (state.current !== room) {
      room = state.current;
      field.value = draft;
      setAttribute(field, 'placeholder', `Message #${room}`);
      setAttribute(field, 'aria-label', `Message #${room}`);
      fit();
    }
    if (state.me && focused !== room) {
      focused = room;
      if (!matchMedia('(pointer: coarse)').matches) field.focus(); // on a phone it would raise the keyboard
    }
    const used = draft.length < COUNT_FROM ? 0 : length(draft); // never more than its UTF-16 length
    count.hidden = used < COUNT_FROM;
    if (!count.hidden) setText(count, used <= MAX_TEXT ? `${MAX_TEXT - used} left` : `${used - MAX_TEXT} too many`);
    form.classList.toggle('over', used > MAX_TEXT);
    send.disabled = draft.trim() === '' || used > MAX_TEXT;
  };
}
