// Notifications of the browser, while somebody wants them: asked for with a
// click, never before.

const KEY = 'notify';

export function createNotifications(storage, open) {
  const possible = () => 'Notification' in globalThis;
  const on = () => possible() && Notification.permission === 'granted' && storage.get(KEY, false);

  return {
    possible,
    on,
    async set(wanted) {
      storage.set(KEY, wanted && (await Notification.requestPermission()) === 'granted');
    },
    // tell shows that somebody spoke to this person; a click leads there.
    tell(room, { user, text, seq }) {
      if (!on()) return;
      try {
        const shown = new Notification(`${user.name} in #${room}`, { body: text.slice(0, 200), tag: `${room} ${seq}`, icon: '/ui/icon.svg' });
        shown.onclick = () => {
          focus();
          shown.close();
          open(room, seq);
        };
      } catch {
        // Some phones allow them to service workers only.
      }
    },
  };
}
