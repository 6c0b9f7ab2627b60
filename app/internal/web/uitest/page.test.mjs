import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { gzipSync } from 'node:zlib';

const ui = join(dirname(fileURLToPath(import.meta.url)), '../ui');
const files = readdirSync(ui, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => posix.join(entry.parentPath ?? entry.path, entry.name).slice(ui.length + 1));
const read = (file) => readFileSync(join(ui, file), 'utf8');
const modules = files.filter((file) => file.endsWith('.js'));
const index = read('index.html');

// reachedBy are the modules that an entry imports, itself included.
function reachedBy(entry, reached = new Set()) {
  if (reached.has(entry)) return reached;
  reached.add(entry);
  for (const [, from] of read(entry).matchAll(/from '(\.[^']+)'/g)) reachedBy(posix.join(dirname(entry), from), reached);
  return reached;
}
const first = reachedBy('main.js');
const later = reachedBy('dialogs.js'); // fetched when the first page has nothing to do

test('every module of the first page is preloaded, and nothing else', () => {
  assert.deepEqual([...new Set([...first, ...later])].sort(), [...modules].sort(), 'every file is used');
  assert.match(read('main.js'), /import\('\.\/dialogs\.js'\)/);
  const preloaded = [...index.matchAll(/rel="modulepreload" href="\/ui\/([^"]+)"/g)].map(([, file]) => file);
  assert.deepEqual([...preloaded, 'main.js'].sort(), [...first].sort());
});

test('everything the page names exists', () => {
  for (const [, file] of index.matchAll(/(?:href|src)="\/ui\/([^"]+)"/g)) assert.ok(files.includes(file), file);
});

test('nothing that the policy forbids: no inline script or style, no other host, no markup from strings', () => {
  assert.doesNotMatch(index, /<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=/);
  for (const file of [...modules, 'index.html', ...files.filter((name) => name.endsWith('.css'))]) {
    const text = read(file);
    assert.doesNotMatch(text, /\.(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('style'/, file);
    assert.doesNotMatch(text, /(?:src|href)="https?:|@import|url\(["']?(?:https?:|\/\/)/, file);
  }
});

test('the first load is at most 60 KB compressed', () => {
  const bytes = files.filter((file) => file !== 'styles/dialogs.css' && (!file.endsWith('.js') || first.has(file))).reduce((sum, file) => sum + gzipSync(readFileSync(join(ui, file))).length, 0);
  assert.ok(bytes <= 60 * 1024, `${bytes} bytes`);
});

// ---- contrast (WCAG 2.2, 1.4.3)

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const colours = (css) => Object.fromEntries([...css.matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map(([, name, hex]) => [name, hex]));
const [light, dark] = read('styles/base.css').split('@media (prefers-color-scheme: dark)').map(colours);

const pairs = [
  ['ink', 'paper'], ['ink', 'sheet'], ['ink', 'raised'], ['ink', 'own'], ['ink', 'alarm-ground'],
  ['soft', 'paper'], ['soft', 'sheet'],
  ['accent', 'paper'], ['accent', 'sheet'], ['accent', 'raised'], ['accent', 'own'], ['on-accent', 'accent'],
  ['alarm', 'sheet'], ['sheet', 'ink'],
];

for (const [name, theme] of [['light', light], ['dark', { ...light, ...dark }]]) {
  test(`text stands out from its ground: ${name}`, () => {
    for (const [text, ground] of pairs) {
      const ratio = contrast(theme[text], theme[ground]);
      assert.ok(ratio >= 4.5, `${text} on ${ground}: ${ratio.toFixed(2)}`);
    }
  });
}
