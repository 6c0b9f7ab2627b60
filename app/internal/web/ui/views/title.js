// The document's title: how much is unread, and where we are.
import { total } from '../model/unread.js';

export function mountTitle() {
  return (state) => {
    const unread = state.me ? total(state) : 0;
    const title = `${unread > 0 ? `(${unread}) ` : ''}${state.me && state.current ? `#${state.current} · ` : ''}SimpleTalk`;
    if (document.title !== title) document.title = title;
  };
}
