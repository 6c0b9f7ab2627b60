// The connection's state machine, without sockets or clocks: next(state,
// event, now, random) returns the state and what to do.
//
//	idle ── start ──► connecting ── welcome ──► live
//	                   ▲     │                   │
//	      until, retry │     │ closed, too slow  │ closed, silent
//	      or wake      │     ▼                   │
//	                 waiting ◄───────────────────┘
//
//	any ── close code 4500 and above, no session ──► stopped ── start ──► connecting
//
// A resync changes nothing here: the server's worker was killed and another one
// goes on with the same socket, so hello is said again and a second welcome
// comes while it is live. Only what the dead worker announced is void.
//
// Delays are full jitter, 0.5 s growing to 30 s; after a bye exactly the delay
// that the server chose for this client, so that a herd comes back paced.

export const FIRST_DELAY_MS = 500;
export const LAST_DELAY_MS = 30_000;
export const WELCOME_MS = 10_000; // from connecting to welcome
export const PROBE_MS = 4_000; // from our ping to any line
export const STABLE_MS = 10_000; // live for so long: the next delay is the first again
const FRESH_MS = 5_000; // a line this recent makes a probe needless

const CLOSE_STOP = 4500; // this close code and above: trying again cannot help
const CLOSE_SIGNED_OUT = 4501;
const CLOSE_BANNED = 4503;
const CLOSE_VERSION = 4504;
const CLOSE_ASK = 4401; // the session or its name is another now: ask, then come back
export const ASK_AFTER = 2; // failed attempts after which the session is asked for

export const idle = Object.freeze({ name: 'idle', attempt: 0, lost: 0 });

// Fields beside name: `attempt`, failed tries in a row; `lost`, since when it
// is not live; `until` while waiting; `planned`, the server said when to come
// back; `heard`, `ping`, `probed`, `since` and `bye` while live; `why` when
// stopped.
export function next(state, event, now, random) {
  switch (event.type) {
    case 'start':
      return connect({ attempt: 0, lost: now }, now);

    case 'welcome':
      if (state.name === 'live') return stay({ ...state, ping: event.pingMs }); // after a resync
      if (state.name !== 'connecting') return stay(state);
      return stay({ name: 'live', attempt: state.attempt, since: now, heard: now, probed: 0, ping: event.pingMs, bye: 0 });

    case 'heard':
      return stay(state.name === 'live' ? { ...state, heard: now, probed: 0 } : state);

    case 'bye':
      return stay(state.name === 'live' ? { ...state, bye: now + event.afterMs } : state);

    case 'resync':
      return stay(state.name === 'live' ? { ...state, bye: 0 } : state);

    case 'closed':
      return closed(state, event.code, now, random);

    case 'refused': // by the answer who is here: why as of a close code
      return [stopped(event.why, state, now), ['close']];

    case 'retry':
      return state.name === 'waiting' ? connect(state, now) : stay(state);

    case 'wake':
      // The network came back or somebody looks: do not sit out a long delay,
      // and do not trust a socket that has slept.
      if (state.name === 'waiting' && !state.planned) return connect({ ...state, attempt: 0 }, now);
      if (state.name === 'live' && !state.probed && now - state.heard > FRESH_MS) return probe(state, now);
      return timer(state, now, random);

    case 'timer':
      return timer(state, now, random);

    case 'stop':
      return [idle, ['close']];
  }
  throw new Error(`unknown event ${event.type}`);
}

// deadline is when the machine wants a timer event, Infinity for never.
export function deadline(state) {
  switch (state.name) {
    case 'connecting':
      return state.since + WELCOME_MS;
    case 'waiting':
      return state.until;
    case 'live':
      if (state.bye) return state.bye;
      return state.probed ? state.probed + PROBE_MS : state.heard + state.ping;
  }
  return Infinity;
}

function timer(state, now, random) {
  if (now < deadline(state)) return stay(state);
  switch (state.name) {
    case 'waiting':
      return connect(state, now);
    case 'connecting':
      return dropped(state, now, random);
    case 'live':
      if (state.bye) return connect({ attempt: 0, lost: now }, now);
      return state.probed ? dropped(state, now, random) : probe(state, now);
  }
  return stay(state);
}

const stay = (state) => [state, []];

const probe = (state, now) => [{ ...state, probed: now }, ['probe']];

const connect = ({ attempt, lost }, now) => [{ name: 'connecting', attempt, lost, since: now }, ['connect']];

// dropped gives up a socket that does not answer.
function dropped(state, now, random) {
  const [after] = closed(state, 1006, now, random);
  return [after, ['close']];
}

function closed(state, code, now, random) {
  if (state.name !== 'connecting' && state.name !== 'live') return stay(state);
  if (code >= CLOSE_STOP) return stay(stopped(reason(code), state, now));
  if (state.name === 'live' && state.bye) {
    return stay({ name: 'waiting', attempt: 0, lost: now, until: Math.max(now, state.bye), planned: true });
  }
  const stable = state.name === 'live' && now - state.since >= STABLE_MS;
  const attempt = code === CLOSE_ASK ? ASK_AFTER : stable ? 0 : state.attempt;
  const delay = random() * Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return stay({ name: 'waiting', attempt: attempt + 1, lost: state.lost || now, until: now + delay, planned: false });
}

const stopped = (why, state, now) => ({ name: 'stopped', attempt: 0, lost: state.lost || now, why });

function reason(code) {
  switch (code) {
    case CLOSE_VERSION:
      return 'version';
    case CLOSE_SIGNED_OUT:
      return 'session';
    case CLOSE_BANNED:
      return 'banned';
  }
  return 'protocol';
}
