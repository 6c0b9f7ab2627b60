// What the message list shows, top to bottom, as plain rows that a view turns
// into elements:
//
//	{kind: 'start'}                          the room begins here
//	{kind: 'day', ts}                        the local day that follows
//	{kind: 'unread'}                         the line above what is new
//	{kind: 'message', first, mine, state, …} first: opens a group by one author
//
// Each has a key that stays the same while it means the same thing: a message
// keeps the one it had in the outbox, so that being confirmed moves nothing.
import { dayOf } from './dates.js';
import { apply } from './fold.js';
import { isPost } from './outbox.js';

const GROUP_MS = 5 * 60 * 1000; // messages of one author this close form a group
const nobody = Object.freeze({ id: '', name: '' }); // once the session has ended

export function rows({ timeline, outbox, room, me, divider }) {
  const list = [];
  if (timeline.start) list.push({ kind: 'start', key: 'start', room });

  let day = [0, 0];
  const days = new Map();
  let previous = null;
  let divided = divider === null;
  for (const message of messages(timeline, outbox, room, me ?? nobody)) {
    const newDay = message.ts < day[0] || message.ts >= day[1];
    if (newDay) {
      day = dayOf(message.ts);
      const again = days.get(day[0]) ?? 0; // a server whose clock was set back
      days.set(day[0], again + 1);
      list.push({ kind: 'day', key: `day ${day[0]} ${again}`, ts: message.ts });
    }
    const divides = !divided && message.seq > divider && !message.mine;
    if (divides) {
      divided = true;
      list.push({ kind: 'unread', key: 'unread' });
    }
    const first = newDay || divides || !sameGroup(previous, message);
    list.push({ ...message, kind: 'message', first });
    previous = message;
  }
  return list;
}

const sameGroup = (a, b) => a !== null && a.user === b.user && b.ts - a.ts < GROUP_MS;

const none = [];

// messages are the log's, then the outbox's in the order they were written.
function* messages(timeline, outbox, room, me) {
  const here = outbox.filter((entry) => entry.room === room);
  const changes = new Map();
  for (const entry of here) if (!isPost(entry)) changes.set(entry.of, [...(changes.get(entry.of) ?? []), entry]);
  for (const message of timeline.messages) yield row(message, me, changes.get(message.seq) ?? none);
  if (timeline.tail) return; // what is being said belongs to the end
  for (const entry of here) {
    if (!isPost(entry)) continue;
    yield {
      key: `${me.id} ${entry.nonce}`, seq: 0, ts: entry.ts ?? entry.at, text: entry.text,
      user: me.id, name: me.name, mine: true, state: entry.state, msg: entry.msg ?? '', nonce: entry.nonce,
      edited: 0, deleted: false, reactions: undefined, change: '', me: me.name,
    };
  }
}

// row shows a message as it will be when what the person did to it is done.
// `change` names what is still on its way: '', edit, del or react.
function row(message, me, changes) {
  let shown = message;
  let waiting = null;
  for (const entry of changes) {
    shown = apply(shown, { ...entry, ts: entry.at, user: me }, me.id);
    if (entry.state !== 'sent' && entry.kind !== 'react') waiting = entry;
  }
  return {
    key: `${message.user.id} ${message.nonce}`, seq: message.seq, ts: message.ts, text: shown.text ?? '',
    user: message.user.id, name: message.user.name, mine: message.user.id === me.id,
    state: waiting?.state ?? 'sent', msg: waiting?.msg ?? '', nonce: waiting?.nonce ?? message.nonce,
    edited: shown.edited ?? 0, deleted: Boolean(shown.deleted), reactions: shown.reactions, change: waiting?.kind ?? '', me: me.name,
  };
}
