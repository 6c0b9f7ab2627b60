// What the banner above the messages says about the connection.
//
// A connection that is back before anybody could notice is not worth a word:
// a deploy looks like nothing at all.

const QUIET_MS = 1_500; // not live for less than this: silence
const QUIET_PLANNED_MS = 3_000; // the server asked for a pause up to this: silence too

export const NOTICE_MS = 4_000;

// loudAt is when the state of the connection becomes worth a word.
export function loudAt(conn) {
  switch (conn.name) {
    case 'waiting': {
      const planned = conn.planned && conn.until - conn.lost <= QUIET_PLANNED_MS;
      return (planned ? conn.until : conn.lost) + QUIET_MS;
    }
    case 'connecting':
      return conn.lost + QUIET_MS;
    case 'stopped':
      return 0;
  }
  return Infinity;
}

// banner returns {kind, text, action?} or null. Kinds: busy, back, stopped.
export function banner(conn, notice, now) {
  if (now < loudAt(conn)) {
    return notice && now < notice.until ? { kind: notice.kind, text: notice.text } : null;
  }
  switch (conn.name) {
    case 'waiting': {
      const seconds = Math.max(1, Math.ceil((conn.until - now) / 1000));
      return { kind: 'busy', text: `Reconnecting in ${seconds} s`, action: 'retry' };
    }
    case 'connecting':
      return { kind: 'busy', text: conn.attempt > 0 ? 'Reconnecting…' : 'Connecting…' };
    case 'stopped':
      return { kind: 'stopped', ...stopReason(conn.why) };
  }
  return null;
}

function stopReason(why) {
  switch (why) {
    case 'version':
      return { text: 'SimpleTalk has been updated.', action: 'reload' };
    case 'session':
      return { text: 'Your session has ended.' };
    case 'banned':
      return { text: 'You cannot take part here any more.' };
  }
  return { text: 'This page and the server do not understand each other.', action: 'reload' };
}

// nextChange is when banner may return something else though nothing happened.
export function nextChange(conn, notice, now) {
  const loud = loudAt(conn);
  const changes = [];
  if (notice && now < notice.until) changes.push(notice.until);
  if (now < loud) changes.push(loud);
  else if (conn.name === 'waiting') changes.push(conn.until - Math.floor((conn.until - now - 1) / 1000) * 1000);
  return Math.min(Infinity, ...changes.filter((at) => at > now));
}

// backNotice tells what a reconnect brought.
export function backNotice(caughtUp, now) {
  const text = caughtUp === 0 ? 'Back online' : `Back: caught up ${caughtUp} message${caughtUp === 1 ? '' : 's'}`;
  return { kind: 'back', text, until: now + NOTICE_MS };
}
