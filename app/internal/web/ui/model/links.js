// Links made from tokens: a text is cut at white space, and a token that is an
// http or https address, apart from punctuation around it, becomes a link.

const OPENING = /^[("'<[{*_]+/;
const CLOSING = /[)"'>\]}*_.,;:!?…]$/;
const PAIRS = { ')': '(', ']': '[', '}': '{' };

// tokens returns pieces [{text} | {text, href}] that add up to the text.
export function tokens(text) {
  const pieces = [];
  let plain = '';
  for (const word of text.split(/(\s+)/)) {
    const link = linkIn(word);
    if (!link) {
      plain += word;
      continue;
    }
    if (plain + link.before) pieces.push({ text: plain + link.before });
    pieces.push({ text: link.text, href: link.href });
    plain = link.after;
  }
  if (plain) pieces.push({ text: plain });
  return pieces;
}

function linkIn(word) {
  const before = OPENING.exec(word)?.[0] ?? '';
  const rest = word.slice(before.length);
  if (!/^https?:\/\//i.test(rest)) return null;
  const text = withoutClosing(rest);
  const href = address(text);
  return href && { before, text, href, after: rest.slice(text.length) };
}

// withoutClosing cuts punctuation that ends a sentence, not the address; a
// bracket stays when the address opened it: /wiki/Go_(game).
function withoutClosing(text) {
  while (CLOSING.test(text)) {
    const last = text.at(-1);
    const opened = PAIRS[last];
    if (opened && text.split(opened).length >= text.split(last).length) break;
    text = text.slice(0, -1);
  }
  return text;
}

// address returns what the browser would open, or null. One with a user name
// in it is no link: it makes https://bank.example@evil.example look like home.
function address(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
  return url.username || url.password || !url.hostname ? null : url.href;
}
