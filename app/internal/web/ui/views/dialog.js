// A modal dialog that is open while the state says so. The browser makes what
// is behind it inert and returns the focus.

// mountDialog returns show(open, place): place is called before it opens.
// close tells the state.
export function mountDialog(dialog, close) {
  dialog.addEventListener('cancel', (event) => {
    event.preventDefault();
    close();
  });
  // At once, also from a search field, of which Escape otherwise empties the
  // field first.
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.isComposing) return;
    event.preventDefault();
    close();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) close(); // beside it
  });
  for (const button of dialog.querySelectorAll('.close')) button.addEventListener('click', close);

  return (open, place = () => {}) => {
    if (open && !dialog.open) {
      dialog.showModal();
      place();
    }
    if (!open && dialog.open) dialog.close();
  };
}
