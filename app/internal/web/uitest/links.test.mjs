import assert from 'node:assert/strict';
import test from 'node:test';
import { tokens } from '../ui/model/links.js';

const linksOf = (text) => tokens(text).filter((piece) => piece.href).map((piece) => piece.text);

const cases = [
  ['plain words', []],
  ['see https://example.org/a?b=c#d now', ['https://example.org/a?b=c#d']],
  ['https://example.org.', ['https://example.org']],
  ['(https://example.org/x)', ['https://example.org/x']],
  ['https://en.example.org/wiki/Go_(game)', ['https://en.example.org/wiki/Go_(game)']],
  ['"http://example.org/a",', ['http://example.org/a']],
  ['<https://example.org>', ['https://example.org']],
  ['HTTPS://EXAMPLE.ORG/A', ['HTTPS://EXAMPLE.ORG/A']],
  ['two https://a.example\nhttps://b.example', ['https://a.example', 'https://b.example']],
  ['javascript:alert(1)', []],
  ['data:text/html,x', []],
  ['ftp://example.org', []],
  ['www.example.org', []],
  ['https://', []],
  ['https://bank.example@evil.example/', []],
  ['https://user:pass@example.org/', []],
  ['xhttps://example.org', []],
  ['https://[not', []],
];

for (const [text, want] of cases) {
  test(JSON.stringify(text), () => {
    assert.deepEqual(linksOf(text), want);
    assert.equal(tokens(text).map((piece) => piece.text).join(''), text, 'the pieces are the text');
  });
}

test('only http and https ever become an address', () => {
  for (const piece of tokens('https://a.example http://b.example')) {
    if (piece.href) assert.match(piece.href, /^https?:\/\//);
  }
});
