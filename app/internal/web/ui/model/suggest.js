// What the composer offers while a word is being typed: people after '@',
// emoji after ':'.
import { find } from './emoji.js';

const MOST = 6;

// suggestions returns {from, to, list: [{label, detail, insert}]} for the word
// that ends at the caret, or null.
export function suggestions(text, caret, names) {
  const typed = text.slice(0, caret);
  const emoji = /(?:^|[\s(]):([a-z_]{2,})$/.exec(typed);
  if (emoji) return offer(caret - emoji[1].length - 1, caret, find(emoji[1], MOST).map(([name, char]) => ({ label: char, detail: `:${name}:`, insert: `${char} ` })));
  const person = /(?:^|[\s(])@([\p{Letter}\p{Mark}\p{Number}_-]{0,24})$/u.exec(typed);
  if (!person) return null;
  const wanted = person[1].toLowerCase();
  const people = names.filter((name) => name.toLowerCase().startsWith(wanted)).slice(0, MOST);
  return offer(caret - person[1].length - 1, caret, people.map((name) => ({ label: `@${name}`, detail: '', insert: `@${name} ` })));
}

const offer = (from, to, list) => (list.length > 0 ? { from, to, list } : null);
