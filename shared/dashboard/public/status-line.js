/**
 * The line below the bar: what is wrong now, or nothing. It is always there, so that those who listen to the page hear of it.
 * @param {string | undefined} text
 */
export function say(text = '') {
  const line = /** @type {HTMLElement} */ (document.getElementById('line'));
  if (line.textContent !== text) line.textContent = text;
}
