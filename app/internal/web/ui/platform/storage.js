// What survives the page, as JSON under a prefix in localStorage. Where that
// is full or forbidden, everything still works and is merely forgotten.

const PREFIX = 'simpletalk ';

export function createStorage(area) {
  return {
    get(key, otherwise) {
      try {
        return JSON.parse(area.getItem(PREFIX + key)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    set(key, value) {
      try {
        area.setItem(PREFIX + key, JSON.stringify(value));
      } catch {
        // Full or forbidden.
      }
    },
    remove(key) {
      try {
        area.removeItem(PREFIX + key);
      } catch {
        // Forbidden.
      }
    },
    // keys lists what is stored under names that begin so.
    keys(beginning) {
      try {
        return Object.keys(area)
          .filter((key) => key.startsWith(PREFIX + beginning))
          .map((key) => key.slice(PREFIX.length));
      } catch {
        return [];
      }
    },
  };
}

// browserStorage is this site's localStorage, or nothing where it is blocked.
export function browserStorage() {
  try {
    return createStorage(localStorage);
  } catch {
    return createStorage(null);
  }
}

// keyOf is the key that a storage event of another tab is about, or null.
export const keyOf = (event) => (event.key?.startsWith(PREFIX) ? event.key.slice(PREFIX.length) : null);
