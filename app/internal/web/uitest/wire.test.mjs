import assert from 'node:assert/strict';
import test from 'node:test';
import * as wire from '../ui/model/wire.js';

const user = { id: 'u1', name: 'Ada' };

test('a frame holds several lines, in order', () => {
  const lines = wire.parse('{"t":"ping"}\n{"t":"live","room":"lobby","seq":3}\n');
  assert.deepEqual(lines.map((line) => line.t), ['ping', 'live']);
});

test('an unknown kind, an unknown field and an empty line are no trouble', () => {
  const lines = wire.parse('{"t":"sparkle","x":1}\n\n{"t":"live","room":"lobby","seq":3,"new":true}');
  assert.deepEqual(lines.map((line) => line.t), ['live']);
});

test('what is not of this protocol is ignored, never thrown', () => {
  const broken = ['', 'x', 'null', '[]', '"ping"', '1', '{"t":"constructor"}', '{"t":"toString"}', '{"t":null}', '{"t":"ev"}',
    '{"t":"ev","room":"lobby","seq":"1"}', '{"t":"welcome","epoch":"e"}', '{"t":"page","room":"lobby","events":[{}]}',
    '{"t":"pres","room":"lobby","n":1,"users":[null]}', '{"t":"ack","room":"lobby","nonce":"n"}', '{"t":"bye"}'];
  assert.deepEqual(wire.parse(broken.join('\n')), []);
});

test('an event of a kind that this page does not know is understood: it counts', () => {
  const [line] = wire.parse(JSON.stringify({ t: 'ev', room: 'lobby', seq: 1, ts: 1, kind: 'sparkle', user, nonce: 'n' }));
  assert.equal(line.kind, 'sparkle');
});

test('an event of a known kind must hold what it needs', () => {
  const ev = (fields) => wire.parse(JSON.stringify({ t: 'ev', room: 'lobby', seq: 9, ts: 1, user, nonce: 'n', ...fields })).length;
  assert.equal(ev({ kind: 'react', of: 1, emoji: '👍', on: true }), 1);
  assert.equal(ev({ kind: 'react', of: 1, emoji: '👍' }), 0);
  assert.equal(ev({ kind: 'edit', of: 1 }), 0);
  assert.equal(ev({ kind: 'del' }), 0);
  assert.equal(ev({ kind: 'post', text: 'x', reactions: { '👍': 3 } }), 0);
});

test('every line that this page sends is one line of JSON', () => {
  const sent = [
    wire.hello('e', { lobby: -1 }), wire.join('lobby', 3), wire.leave('lobby'),
    wire.entry({ room: 'lobby', nonce: 'n', text: 'a\nb', state: 'pending' }),
    wire.entry({ kind: 'react', room: 'lobby', nonce: 'n', of: 3, emoji: '👍', on: true }), wire.read('lobby', 3), wire.typing('lobby'),
    wire.getBefore('lobby', 9), wire.getAfter('lobby', 9), wire.ping(), wire.pong(),
  ];
  for (const line of sent) {
    assert.ok(!line.includes('\n'));
    assert.equal(typeof JSON.parse(line).t, 'string');
  }
  assert.deepEqual(JSON.parse(sent[3]), { t: 'post', room: 'lobby', nonce: 'n', text: 'a\nb' });
});
