/** @typedef {Node | string | number | undefined} Child */

/**
 * Makes an element. Whatever a fleet says becomes text and never markup.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | true | ((event: Event) => void)>} attributes a function listens to the event of that name
 * @param {...(Child | readonly Child[])} children what is undefined is left out
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) if (child !== undefined) element.append(typeof child === 'number' ? String(child) : child);
  return element;
}

/**
 * Puts `content` in the place of what `holder` shows, unless that is the same already. The focus stays on the element of
 * the same id, what was opened stays open and what was scrolled where it is, and what somebody is marking with the mouse is left until the next time.
 * @param {Element} holder
 * @param {string} state names what is shown
 * @param {() => Node[]} content
 */
export function show(holder, state, content) {
  if (shown.get(holder) === state || isMarked(holder)) return;
  shown.set(holder, state);
  const focused = holder.contains(document.activeElement) ? document.activeElement?.id : undefined;
  const open = new Set([...holder.querySelectorAll('details[open]')].map(({ id }) => id));
  const scrolled = [...holder.querySelectorAll(SCROLLS)].map(({ scrollLeft, scrollTop }) => ({ left: scrollLeft, top: scrollTop }));
  holder.replaceChildren(...content());
  for (const details of holder.querySelectorAll('details')) if (open.has(details.id)) details.open = true;
  for (const [at, one] of [...holder.querySelectorAll(SCROLLS)].entries()) one.scrollTo(scrolled[at] ?? { left: 0, top: 0 });
  if (focused) document.getElementById(focused)?.focus();
}

/** What can be scrolled by itself. */
const SCROLLS = '.scroll, pre';

/** @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/** @param {Element} holder */
function isMarked(holder) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && holder.contains(selection.anchorNode);
}

/**
 * A table, or a sentence where there is nothing to list.
 * @param {readonly string[]} heads
 * @param {readonly HTMLTableRowElement[]} rows
 * @param {string} none
 */
export function table(heads, rows, none) {
  if (rows.length === 0) return el('p', { class: 'quiet' }, none);
  const head = el('tr', {}, ...heads.map((text) => el('th', { scope: 'col' }, text)));
  return el('div', { class: 'scroll' }, el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows)));
}

/** @param {...(Child | HTMLTableCellElement)} cells */
export function row(...cells) {
  return el('tr', {}, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : el('td', {}, cell))));
}

/**
 * Names and values, one pair a line; pairs without a value are left out.
 * @param {readonly (readonly [string, Child])[]} pairs
 */
export function pairs(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== '');
  return el('dl', {}, ...known.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

/**
 * A link to where another Supervisor answers, as the one that is asked has found it; plain text for what is no http address.
 * @param {string} url
 */
export function link(url) {
  return /^https?:\/\//i.test(url) ? el('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, url) : el('span', {}, url);
}
