// How a person without a picture looks: initials on a colour that follows from
// who they are. The colour is never the only difference.

export const HUES = 12;

// hueOf gives the same person the same colour everywhere.
export function hueOf(id) {
  let hash = 2166136261; // FNV-1a, 32 bits
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return ((hash ^ (hash >>> 15)) >>> 0) % HUES;
}

export function initialsOf(name) {
  const words = name.split(/[\s_-]+/).filter((word) => /[\p{Letter}\p{Number}]/u.test(word));
  const initial = (word) => word.match(/[\p{Letter}\p{Number}]\p{Mark}*/u)[0].toUpperCase();
  if (words.length === 0) return [...name][0] ?? '?';
  return words.length === 1 ? initial(words[0]) : initial(words[0]) + initial(words.at(-1));
}
