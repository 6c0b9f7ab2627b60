// A message is a post with everything that was done to it since: its latest
// text, whether it was deleted, who reacted. The server folds the posts of a
// page; what happens afterwards is folded here, by the same rules.
//
// `rev` is the seq of the last event folded into a message. An event that is
// not above it is part of the message already.

export const isPost = (event) => (event.kind ?? 'post') === 'post';

// message makes one of a post as the server tells it.
export const message = (post) => ({ ...post, rev: post.rev ?? post.seq });

// counted are the reactions to show, [emoji, {n, mine}], in the order they came.
export const counted = (reactions) => Object.entries(reactions ?? {}).filter(([, { n }]) => n > 0);

// fold returns the message after an event about it, and the same message if it
// changes nothing. me is the id of the person at this page.
export function fold(before, event, me) {
  if (event.of !== before.seq || event.seq <= before.rev) return before;
  return { ...apply(before, event, me), rev: event.seq };
}

// apply is fold without regard to the order: for what the server has yet to
// confirm.
export function apply(before, { kind, text, ts, emoji, on, user }, me) {
  if (before.deleted) return before;
  switch (kind) {
    case 'edit':
      return { ...before, text, edited: ts };
    case 'del': {
      const { reactions: _, ...rest } = before;
      return { ...rest, text: '', deleted: true };
    }
    case 'react':
      return { ...before, reactions: react(before.reactions ?? {}, emoji, on, user, user.id === me) };
  }
  return before;
}

// react counts one reaction in or out. Of one person and emoji the last counts,
// however often it is told: `who` remembers those told of here.
function react(reactions, emoji, on, user, mine) {
  const before = reactions[emoji] ?? { n: 0, mine: false };
  const had = mine ? before.mine : before.who?.[user.id];
  if (had === on) return reactions;
  const n = Math.max(0, before.n + (on ? 1 : -1));
  return { ...reactions, [emoji]: { n, mine: mine ? on : before.mine, who: { ...before.who, [user.id]: on } } };
}
