// What may be posted: the server refuses control and bidirectional formatting
// characters, so what a paste brings along is taken out before it is sent.

const forbidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

// clean returns text as it can be posted, '' if nothing is left to say.
export function clean(text) {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(forbidden, '')
    .replace(loneSurrogate, '\ufffd')
    .replace(/^\s*\n|\s+$/g, '');
}

// length counts code points, as the server does.
export function length(text) {
  let n = 0;
  for (const _ of text) n++;
  return n;
}

const fewEmoji = /^(?:\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier}|\u200d\p{Extended_Pictographic})*\s*){1,3}$/u;

// isEmoji tells whether a text is nothing but one to three emoji.
export const isEmoji = (text) => text.length < 64 && fewEmoji.test(text);
