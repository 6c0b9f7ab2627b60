// What assistive technology reads out: messages of others that arrive live in
// the room on the screen. History, catching up and one's own words are silent.
import { element } from './element.js';
import { end } from '../model/timeline.js';

const KEEP = 20;

export function mountAnnouncer(log) {
  let room = null;
  let seq = Infinity; // announce what is above; Infinity until the room is live

  return (state) => {
    const held = state.timelines[state.current];
    if (state.current !== room || !held?.live) {
      room = state.current;
      seq = held?.live ? held.head : Infinity;
      return;
    }
    if (held.head <= seq) {
      seq = held.head;
      return;
    }
    const fresh = end(held).messages.slice(-KEEP).filter((message) => message.seq > seq && message.user.id !== state.me?.id);
    seq = held.head;
    log.append(...fresh.map(({ user, text }) => element('p', {}, `${user.name}: ${text}`)));
    while (log.childElementCount > KEEP) log.firstChild.remove();
  };
}
