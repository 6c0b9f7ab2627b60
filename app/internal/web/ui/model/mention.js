// Mentions: @ and a name, as people write them: "@Ada, have you seen this?"

const WORD = /[\p{Letter}\p{Mark}\p{Number}_]/u;

// mentioned returns where text speaks to one of names, [{at, length}], in
// order. The longest name wins: "@Ada King" is not Ada.
export function mentioned(text, names) {
  const found = [];
  const lower = text.toLowerCase();
  const wanted = [...new Set(names.filter(Boolean).map((name) => name.toLowerCase()))].sort((a, b) => b.length - a.length);
  for (let at = lower.indexOf('@'); at >= 0; at = lower.indexOf('@', at + 1)) {
    if (at > 0 && WORD.test(lower[at - 1])) continue; // an address of mail
    const name = wanted.find((each) => lower.startsWith(each, at + 1) && !WORD.test(lower[at + 1 + each.length] ?? ' '));
    if (name) found.push({ at, length: name.length + 1 });
  }
  return found;
}

// mentions tells whether an event is a post of somebody else that speaks to me.
export const mentions = (event, me) =>
  Boolean(me) && event.kind === 'post' && event.user.id !== me.id && mentioned(event.text ?? '', [me.name]).length > 0;
