// Search in the room on the screen. state.found is {room, q, events, more,
// busy, problem}.

export const nothing = Object.freeze({ room: '', q: '', events: [], more: false, busy: false, problem: '' });

const PAUSE_MS = 250; // after the last letter

export function createSearch({ store, api, clock }) {
  let timer = null;

  async function ask(fields) {
    const { room, q, events } = { ...store.state.found, ...fields };
    const before = events.at(-1)?.seq;
    try {
      const { events: older = [], more = false } = await api.search(room, q, before);
      const { found } = store.state;
      if (found.room !== room || found.q !== q || found.events !== events) return; // somebody typed on
      store.set({ found: { ...found, events: [...events, ...older], more, busy: false } });
    } catch (error) {
      if (store.state.found.q !== q) return;
      store.set({ found: { ...store.state.found, busy: false, problem: error.status ? error.message : 'The server cannot be reached. Try again.' } });
    }
  }

  return {
    open: () => store.set({ dialog: 'search', drawer: 'none', found: { ...nothing, room: store.state.current } }),

    close: () => store.set({ dialog: 'none' }),

    // type is told of every letter; it asks when the person pauses.
    type(typed) {
      const q = typed.trim();
      clock.clear(timer);
      store.set({ found: { ...nothing, room: store.state.current, q, busy: q !== '' } });
      if (q !== '') timer = clock.after(PAUSE_MS, () => ask({}));
    },

    more() {
      const { found } = store.state;
      if (found.busy || !found.more) return;
      store.set({ found: { ...found, busy: true } });
      ask({});
    },
  };
}
