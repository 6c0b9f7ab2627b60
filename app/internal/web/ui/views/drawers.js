// On a small screen rooms and people slide over the messages. What is below
// cannot be reached meanwhile; Escape and a touch beside the drawer close it,
// and the focus returns to where it was.
import { phase } from '../store.js';

export function mountDrawers({ chat, main, drawers, scrim }, client) {
  let open = 'none';
  let returnTo = null;

  const close = () => client.setDrawer('none');
  scrim.addEventListener('click', close);
  for (const drawer of Object.values(drawers)) {
    drawer.querySelector('.close').addEventListener('click', close);
    drawer.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && open !== 'none') close();
    });
  }

  // Wide enough for everything again: nothing is in front of anything.
  addEventListener('resize', () => {
    if (open !== 'none' && !slides(drawers[open])) close();
  });

  return (state) => {
    chat.hidden = phase(state) === 'naming';
    const wanted = state.drawer !== 'none' && slides(drawers[state.drawer]) ? state.drawer : 'none';
    if (wanted === open) return;
    const before = open;
    open = wanted;
    for (const [name, drawer] of Object.entries(drawers)) {
      drawer.classList.toggle('open', name === open);
    }
    scrim.classList.toggle('shown', open !== 'none');
    main.inert = open !== 'none';
    if (open !== 'none') {
      if (before === 'none') returnTo = document.activeElement;
      drawers[open].querySelector('.close').focus();
    } else {
      returnTo?.focus();
      returnTo = null;
    }
  };
}

const slides = (drawer) => getComputedStyle(drawer).position === 'fixed';
