// The conversation that proto/chat keeps as testdata, read by this side of the
// wire too: {"dir": "c" | "s", "line": {…}} per line.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import * as wire from '../ui/model/wire.js';

const file = new URL('../../../../proto/chat/testdata/transcript.jsonl', import.meta.url);
const entries = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((text) => JSON.parse(text));
const lines = (dir) => entries.filter((entry) => entry.dir === dir).map(({ line }) => (typeof line === 'string' ? JSON.parse(line) : line));

const known = ['welcome', 'ev', 'live', 'reset', 'ack', 'nak', 'page', 'pres', 'err', 'bye', 'resync', 'ping', 'pong', 'read', 'typing'];

test('every line of the server is understood, or of a kind to be ignored', () => {
  const said = lines('s');
  assert.ok(said.length > 0);
  for (const line of said) {
    assert.deepEqual(wire.parse(JSON.stringify(line)), known.includes(line.t) ? [line] : [], line.t);
  }
  const frame = said.map((line) => JSON.stringify(line)).join('\n');
  assert.equal(wire.parse(frame).length, said.filter((line) => known.includes(line.t)).length, 'also in one frame');
});

test('what the page says is what the transcript says', () => {
  const build = {
    hello: ({ epoch = '', rooms }) => wire.hello(epoch, rooms),
    join: ({ room, seq }) => wire.join(room, seq),
    leave: ({ room }) => wire.leave(room),
    post: wire.entry,
    edit: (line) => wire.entry({ ...line, kind: 'edit' }),
    del: (line) => wire.entry({ ...line, kind: 'del' }),
    react: (line) => wire.entry({ ...line, kind: 'react' }),
    read: ({ room, seq }) => wire.read(room, seq),
    typing: ({ room }) => wire.typing(room),
    get({ room, before, after, around }) {
      if (before !== undefined) return wire.getBefore(room, before);
      return after !== undefined ? wire.getAfter(room, after) : wire.getAround(room, around);
    },
    ping: wire.ping,
    pong: wire.pong,
  };
  for (const line of lines('c')) {
    if (!(line.t in build)) continue; // a kind that this page does not use yet
    if ('around' in line && !wire.getAround) continue; // nor that
    const built = JSON.parse(build[line.t](line));
    for (const [name, value] of Object.entries(line)) {
      if (name !== 'limit') assert.deepEqual(built[name], value, `${line.t}.${name}`); // the page size is each client's choice
    }
  }
});
