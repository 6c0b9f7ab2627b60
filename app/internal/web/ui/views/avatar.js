import { element } from './element.js';
import { hueOf, initialsOf } from '../model/avatar.js';

// avatar is decoration: the name stands beside it.
export const avatar = ({ id, name }) =>
  element('span', { class: `avatar hue-${hueOf(id)}`, 'aria-hidden': 'true' }, initialsOf(name));
