// What opens at a click: the actions of a message, search, the account. It is
// no part of the first page; it is fetched as soon as that has nothing to do.
import { createAccount } from './account.js';
import { createSearch } from './search.js';
import * as api from './platform/accounts.js';
import { element } from './views/element.js';
import { mountAccount } from './views/account.js';
import { mountMenu } from './views/menu.js';
import { mountSearch } from './views/search.js';

// styled waits until the dialogs have their styles.
const styled = () => new Promise((resolve, reject) => {
  document.head.append(element('link', { rel: 'stylesheet', href: '/ui/styles/dialogs.css', onload: resolve, onerror: reject }));
});

// mountDialogs resolves to what opens them, {account, search}.
export async function mountDialogs({ store, client, clock, notifications, byId, composer }) {
  await styled();
  const account = createAccount({ store, api, become: client.become, ended: client.ended });
  const search = createSearch({ store, api, clock });
  store.watch(mountMenu(byId('menu'), client, composer));
  store.watch(mountAccount(byId('account'), account, notifications));
  store.watch(mountSearch(byId('search'), client, search));
  return { account: account.open, search: search.open };
}
