import { el, row, table } from './dom.js';
import { summary } from './format.js';
import { timeAgo } from './time.js';

/** @import { EventRecord } from '../../contract/event.ts' */

/**
 * The newest events first.
 * @param {readonly EventRecord[]} events oldest first, as the API gives them
 * @param {number} now
 */
export function eventTable(events, now) {
  const rows = events
    .toReversed()
    .map(({ type, node_id, at, data }) =>
      row(
        el('td', { class: 'number' }, timeAgo(at, now)),
        el('code', {}, type.replace('overlay.', '')),
        node_id,
        el('td', { class: `wide ${data.status === 'failed' ? 'bad' : ''}` }, summary(type, data)),
      ),
    );
  return [el('h2', {}, 'Events'), table(['When', 'Event', 'Node', 'What'], rows, 'Nothing has happened yet.')];
}
