// The account dialog: keep the name, change the password, other devices, the
// way out.
import { element, keyed, setText } from './element.js';
import { avatar } from './avatar.js';
import { mountDialog } from './dialog.js';
import { exact, iso, when } from '../model/dates.js';

export function mountAccount(dialog, account, notifications) {
  const show = mountDialog(dialog, account.close);
  const part = (name) => dialog.querySelector(name);
  const parts = { keep: part('.keep'), closed: part('.closed'), change: part('.change'), devices: part('.devices'), remove: part('.remove') };
  const drawSessions = keyed(part('.devices ul'), (row) => session(row, account), () => {});
  let shown = null;

  submits(parts.keep, ({ password, code }) => account.keep(password, code));
  submits(parts.change, ({ old, password }) => account.changePassword(old, password));
  submits(parts.remove, ({ password }) => account.remove(password));
  part('.others').addEventListener('click', account.endOthers);
  part('.signout').addEventListener('click', account.signOut);
  part('.notify').addEventListener('change', (event) => notifications.set(event.target.checked));

  return (state) => {
    const open = state.dialog === 'account' && state.me !== null;
    show(open, () => part('h2').focus());
    if (!open) return;
    const { me, account: { busy, problem, done, sessions, site } } = state;
    if (shown !== me) {
      shown = me;
      part('.face').replaceChildren(avatar(me));
      setText(part('h2'), me.name);
      setText(part('.kind'), me.guest ? 'Guest. This name is yours while this browser remembers you.' : 'This name is yours.');
    }
    const closed = site?.signup === 'closed';
    parts.keep.hidden = !me.guest || site === null || closed;
    parts.closed.hidden = !me.guest || !closed;
    parts.keep.querySelector('.code').hidden = site?.signup !== 'code';
    parts.keep.elements.code.required = site?.signup === 'code';
    for (const name of ['change', 'devices', 'remove']) parts[name].closest('details').hidden = me.guest;
    drawSessions((sessions ?? []).map((row) => ({ ...row, key: `${row.id} ${row.here}` })));
    part('.others').hidden = (sessions ?? []).length < 2;
    setText(part('.problem'), problem);
    setText(part('.done'), done);
    part('.notify').checked = notifications.on();
    part('.notification').hidden = !notifications.possible();
    for (const button of dialog.querySelectorAll('button:not(.close)')) button.disabled = busy;
  };
}

// submits calls run with what is in the form's fields, and empties it when
// that has succeeded.
function submits(form, run) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (await run(Object.fromEntries(new FormData(form)))) form.reset();
  });
}

const session = ({ id, seen, agent, here }, account) => element('li', {},
  element('span', { class: 'agent' }, deviceOf(agent), element('small', {}, here || !seen ? (here ? 'This device' : '') : element('time', { datetime: iso(seen), title: exact(seen) }, when(seen)))),
  ...(here ? [] : [element('button', { type: 'button', class: 'plain', onclick: () => account.endSession(id) }, 'Sign out')]));

const BROWSERS = [['Edg', 'Edge'], ['OPR', 'Opera'], ['Firefox', 'Firefox'], ['Chrom', 'Chrome'], ['Safari', 'Safari']];
const SYSTEMS = [['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Android', 'Android'], ['Windows', 'Windows'], ['Mac OS', 'Mac'], ['Linux', 'Linux']];

// deviceOf says in a few words what a browser calls itself.
function deviceOf(agent = '') {
  const named = (table) => table.find(([sign]) => agent.includes(sign))?.[1];
  return [named(BROWSERS), named(SYSTEMS)].filter(Boolean).join(' on ') || 'Another device';
}
