// The composer: one draft per room, Enter sends, Shift+Enter breaks the line,
// the upward arrow edits what was said last, '@' and ':' offer names and emoji.
import { element, setAttribute, setText } from './element.js';
import { named } from '../model/emoji.js';
import { MAX_TEXT } from '../model/wire.js';
import { nobody } from '../model/presence.js';
import { suggestions } from '../model/suggest.js';
import { length } from '../model/text.js';
import { namesOf, sentence } from '../model/typing.js';

const COUNT_FROM = MAX_TEXT - 400; // characters at which the count appears

export function mountComposer(form, client) {
  const field = form.querySelector('textarea');
  const send = form.querySelector('button.send');
  const count = form.querySelector('.count');
  const typing = form.querySelector('.typing');
  const edited = form.querySelector('.editing');
  const offer = mountOffer(form.querySelector('.offer'), field, input);
  let room = null;
  let focused = null; // the room that the focus was given for
  let editing = null; // the seq of the message that is in the field
  let names = [];

  function submit() {
    if (editing !== null) client.setEdit(named(field.value));
    const done = editing === null ? client.say(named(field.value)) : client.finishEdit();
    if (done && editing === null) field.value = '';
    fit();
    field.focus();
  }

  function input() {
    fit();
    if (editing === null) client.setDraft(field.value);
    else client.setEdit(field.value);
    offer.suggest(suggestions(field.value, field.selectionStart, names));
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  edited.querySelector('button').addEventListener('click', () => {
    client.cancelEdit();
    field.focus();
  });
  // While an input method composes, Enter chooses a word (229 is what Safari
  // says just after).
  const composes = (event) => event.isComposing || event.keyCode === 229;
  const sends = (event) => event.key === 'Enter' && !event.shiftKey && !composes(event);
  field.addEventListener('keydown', (event) => {
    if (composes(event)) return;
    if (offer.key(event)) event.preventDefault();
    else if (sends(event)) {
      event.preventDefault();
      submit();
    } else if (event.key === 'ArrowUp' && field.value === '' && editing === null) {
      if (client.startEdit()) event.preventDefault();
    } else if (event.key === 'Escape' && editing !== null) client.cancelEdit();
  });
  // Some virtual keyboards break the line even though keydown was handled.
  field.addEventListener('keypress', (event) => sends(event) && event.preventDefault());
  field.addEventListener('input', input);
  field.addEventListener('blur', () => offer.suggest(null));
  new ResizeObserver(fit).observe(form); // the window's width changes, or the chat is shown at last

  // fit lets the field grow with the text, up to the height its style allows.
  function fit() {
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }

  function show(text, label) {
    field.value = text;
    setAttribute(field, 'placeholder', label);
    setAttribute(field, 'aria-label', label);
    offer.suggest(null);
    fit();
  }

  return (state) => {
    const seq = state.editing?.seq ?? null;
    const text = state.editing ? state.editing.text : state.drafts[state.current] ?? '';
    if (state.current !== room || seq !== editing) {
      [room, editing] = [state.current, seq];
      show(text, editing === null ? `Message #${room}` : 'Edit your message');
    }
    edited.hidden = editing === null;
    if (!state.me) focused = null;
    else if (focused !== room) {
      focused = room;
      if (!matchMedia('(pointer: coarse)').matches && state.target === null) field.focus(); // on a phone it would raise the keyboard
    }
    names = (state.people[room] ?? nobody).users.filter(({ id }) => id !== state.me?.id).map(({ name }) => name);
    const used = text.length < COUNT_FROM ? 0 : length(text); // never more than its UTF-16 length
    count.hidden = used < COUNT_FROM;
    if (!count.hidden) setText(count, used <= MAX_TEXT ? `${MAX_TEXT - used} left` : `${used - MAX_TEXT} too many`);
    form.classList.toggle('over', used > MAX_TEXT);
    send.disabled = text.trim() === '' || used > MAX_TEXT;
    const writers = sentence(namesOf(state, room));
    form.classList.toggle('others', writers !== '');
    setText(typing, writers);
  };
}

// mountOffer is the list above the field. The focus stays in the field, which
// names the chosen line to assistive technology.
function mountOffer(list, field, changed) {
  let offered = null;
  let chosen = 0;

  function choose(i) {
    chosen = i;
    [...list.children].forEach((node, at) => node.setAttribute('aria-selected', String(at === chosen)));
    setAttribute(field, 'aria-activedescendant', offered ? `offer-${chosen}` : null);
  }

  function suggest(next) {
    offered = next;
    list.hidden = !offered;
    list.replaceChildren(...(offered?.list ?? []).map(({ label, detail }, i) => element('li', {
      role: 'option', id: `offer-${i}`, onmousedown: (event) => {
        event.preventDefault(); // the focus stays
        choose(i);
        take();
      },
    }, element('span', {}, label), element('span', { class: 'detail' }, detail))));
    choose(0);
  }

  function take() {
    const { from, to, list: lines } = offered;
    field.setRangeText(lines[chosen].insert, from, to, 'end');
    changed();
    suggest(null);
  }

  return {
    suggest,
    // key tells whether the list has taken a key.
    key(event) {
      if (!offered) return false;
      const { length: n } = offered.list;
      switch (event.key) {
        case 'ArrowDown':
          choose((chosen + 1) % n);
          return true;
        case 'ArrowUp':
          choose((chosen + n - 1) % n);
          return true;
        case 'Enter':
        case 'Tab':
          if (event.shiftKey) return false;
          take();
          return true;
        case 'Escape':
          suggest(null);
          return true;
      }
      return false;
    },
  };
}
