// The account: whose name this is, who else uses it, and its end. Like the
// client it knows no DOM. state.account is {busy, problem, done, sessions, site}.

export const quiet = Object.freeze({ busy: false, problem: '', done: '', sessions: null, site: null });

const AWAY = 'The server cannot be reached. Try again.';

export function createAccount({ store, api, become, ended }) {
  const set = (fields) => store.set({ account: { ...store.state.account, ...fields } });

  // doing runs one thing at a time and tells how it ended.
  async function doing(run, done) {
    if (store.state.account.busy) return false;
    set({ busy: true, problem: '', done: '' });
    try {
      await run();
      set({ busy: false, done });
      return true;
    } catch (error) {
      set({ busy: false, problem: error.status ? error.message : AWAY });
      return false;
    }
  }

  const refresh = async () => set({ sessions: await api.sessions() });

  return {
    // open shows the dialog, and what the server knows when it comes.
    async open() {
      store.set({ dialog: 'account', account: quiet, drawer: 'none' });
      try {
        const [me, site] = await Promise.all([api.session(), api.site()]);
        become(me);
        set({ site });
        if (!me.guest) await refresh();
      } catch {
        // What is shown without it still holds.
      }
    },

    close: () => store.set({ dialog: 'none' }),

    // keep gives the guest's name a password.
    keep: (password, code) => doing(async () => {
      become(await api.keepName(password, code));
      await refresh();
    }, 'The name is yours. Sign in with it anywhere.'),

    changePassword: (before, after) => doing(async () => {
      become(await api.changePassword(before, after));
      await refresh();
    }, 'Your password is changed. Every other device is signed out.'),

    endSession: (id) => doing(async () => {
      await api.endSession(id);
      await refresh();
    }, 'Signed out there.'),

    endOthers: () => doing(async () => {
      await api.endOthers();
      await refresh();
    }, 'Signed out everywhere else.'),

    async signOut() {
      if (await doing(api.signOut, '')) ended();
    },

    async remove(password) {
      if (await doing(() => api.removeAccount(password), '')) ended();
    },
  };
}
