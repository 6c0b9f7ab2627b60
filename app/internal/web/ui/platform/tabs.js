// Each tab keeps its unsent messages under a key of its own and holds a lock
// of the same name for as long as it lives. Who gets another tab's lock knows
// that the tab is gone (closed, reloaded, crashed) and adopts what it left. So
// no two tabs send the same message.
//
// Locks exist in secure contexts only. Without them a tab adopts at once
// whatever it finds; the nonce keeps it from being stored twice.

const OUTBOX = 'outbox ';

export function createTabs({ locks, storage, id }) {
  const own = OUTBOX + id;
  const watched = new Set([own]);
  let onOrphans = () => {};

  function take(key) {
    watched.delete(key);
    const orphans = storage.get(key, []);
    if (Array.isArray(orphans) && orphans.length > 0) onOrphans(orphans); // stores them under our key
    storage.remove(key);
  }

  function watch() {
    for (const key of storage.keys(OUTBOX)) {
      if (watched.has(key)) continue;
      watched.add(key);
      if (locks) locks.request(key, () => take(key)).catch(() => watched.delete(key));
      else take(key);
    }
  }

  return {
    // start holds the lock for good and hands over what gone tabs have left,
    // now and whenever another one goes.
    start(adopt) {
      onOrphans = adopt;
      locks?.request(own, () => new Promise(() => {})).catch(() => {});
      watch();
    },
    // changed is told that another tab has written key.
    changed(key) {
      if (locks && key.startsWith(OUTBOX)) watch();
    },
    save(entries) {
      if (entries.length > 0) storage.set(own, entries);
      else storage.remove(own);
    },
  };
}
