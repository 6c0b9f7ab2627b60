// Elements without markup strings: the page's policy (Trusted Types) forbids
// innerHTML, so nothing anybody says can become markup.

// element makes one. Properties: on… are listeners, true and false are bare
// attributes present or absent, anything else is an attribute.
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else setAttribute(node, name, value);
  }
  node.append(...children);
  return node;
}

export function setAttribute(node, name, value) {
  if (value === false || value === null || value === undefined) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : value);
}

// setText writes only what changed, so that selections and live regions stay
// as they are.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// keyed keeps parent's children in step with a list of rows by their key:
// nodes move and change, they are not made anew. create(row) returns a node,
// update(node, row, before) is called when a field of the row is another.
export function keyed(parent, create, update) {
  let shown = new Map();

  return (rows) => {
    const next = new Map(rows.map((row) => [row.key, row]));
    for (const [key, { node }] of shown) if (!next.has(key)) node.remove();
    const kept = shown;
    shown = new Map();
    let place = parent.firstChild;
    for (const row of rows) {
      const old = kept.get(row.key);
      const node = old?.node ?? create(row);
      if (old && !same(old.row, row)) update(node, row, old.row);
      if (node === place) place = place.nextSibling;
      else parent.insertBefore(node, place);
      shown.set(row.key, { node, row });
    }
  };
}

const same = (a, b) => {
  const names = Object.keys(b);
  return names.length === Object.keys(a).length && names.every((name) => a[name] === b[name]);
};
