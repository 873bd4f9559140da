import type { Statement } from '../../ports/database.ts';

/** What is judged by its age. The nodes last: how far the others are moved may stand in them. */
const AGES = [
  ['leases', ['expires_at', 'uplinked_at']],
  ['placements', ['computed_at']],
  ['component_status', ['at']],
  ['nodes', ['registered_at', 'heard_at', 'left_at', 'displaced_at']],
] as const;

/** How far the last that was heard lies ahead. */
const AHEAD = 'max(0, coalesce((select max(heard_at) from nodes), 0) - bootplane_now())';

/**
 * Keeps ages as they are in a database of Node whose clock is set back: how long ago nodes registered, were heard and reported, and how long
 * leases last. Else who was long gone would count as heard just now, a lease would outlast its holder, and the cloud would be told of each
 * node with every call as if it had registered with its leader just now: over what the node says there itself.
 *
 * Nothing of the kind for one that is set forward: that looks the same as a machine that was paused, and whoever was paused has heard nobody.
 *
 * `ms`: how far back. Undefined where nobody could see it, as nothing ran: by as much as the last that was heard lies ahead.
 */
export function keepAges(ms: number | undefined): Statement[] {
  const [by, params] = ms === undefined ? [AHEAD, []] : ['cast(? as integer)', [Math.round(ms)]];
  return AGES.map(([table, columns]) => {
    const moved = columns.map((column) => `${column} = ${column} - (select ms from back)`).join(', ');
    return { sql: `with back (ms) as materialized (select ${by}) update ${table} set ${moved} where (select ms from back) > 0`, params };
  });
}
