/**
 * The line below the bar: what is wrong now, or nothing.
 * @param {string | undefined} text
 */
export function say(text) {
  const line = /** @type {HTMLElement} */ (document.getElementById('line'));
  line.hidden = text === undefined;
  if (line.textContent !== (text ?? '')) line.textContent = text ?? '';
}
