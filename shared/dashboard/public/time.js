import { el } from './dom.js';
import { ago } from './format.js';

/**
 * A point in time as people say it; the exact one shows under the mouse.
 * @param {string} at RFC 3339
 * @param {number} now milliseconds
 */
export function timeAgo(at, now) {
  return el('time', { datetime: at, title: new Date(at).toLocaleString() }, words(at, now));
}

/**
 * Brings all of them up to date.
 * @param {number} now milliseconds
 */
export function updateTimes(now) {
  for (const time of document.querySelectorAll('time')) {
    const text = words(time.dateTime, now);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** @param {string} at @param {number} now */
function words(at, now) {
  return `${ago(at, now)} ago`;
}
