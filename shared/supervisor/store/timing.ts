import { type SQL, sql } from 'drizzle-orm';
import { LOST_AFTER_TTLS } from '../../decide/ttl.ts';
import { heardAt } from './heard.ts';
import { ttlMsOf } from './sql.ts';

/** How a store judges silence. */
export interface Timing {
  /** While no Cluster Plan sets one. */
  readonly ttl_seconds: number;
  /** A heartbeat that says nothing new is not written again within this share of the TTL. Default 0: each one is written. */
  readonly unwritten_share?: number;
}

/**
 * What the speaker of a node still lives by, milliseconds: the node itself says so with its heartbeats, a leader that
 * speaks for its site was granted its lease for so long.
 */
const believedMs = sql`iif(coalesce(nodes.uplink_epoch, 0) = 0, cast(coalesce(nodes.ttl_seconds, 0) * 1000 as integer),
  coalesce((select leases.granted_ms from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
    and leases.uplink_epoch = nodes.uplink_epoch), 0))`;

/** The TTL that a row of `nodes` is judged by, milliseconds: the fleet's, or a longer one that its speaker has not unlearned yet. */
export function nodeTtlMsOf({ ttl_seconds }: Timing): SQL<number> {
  return sql`max(${ttlMsOf(ttl_seconds)}, ${believedMs})`;
}

/** How much older the row of a node may be than its last heartbeat, milliseconds. */
export function marginMsOf(timing: Timing): SQL<number> {
  const { unwritten_share = 0 } = timing;
  if (unwritten_share === 0) return sql`0`;
  return sql`cast(${nodeTtlMsOf(timing)} * ${sql.raw(String(Number(unwritten_share)))} as integer)`;
}

/** For how long a node is silent for sure, milliseconds: since its row was written, without what need not be written. */
export function silenceMsOf(now: SQL<number>, timing: Timing): SQL<number> {
  return sql`(${now} - ${heardAt} - ${marginMsOf(timing)})`;
}

/** A node that is silent for longer than this is lost, milliseconds. */
export function lostAfterMs(ttl: SQL): SQL {
  return sql`${sql.raw(String(LOST_AFTER_TTLS))} * ${ttl}`;
}

/** What `livenessOf` says of a row. */
export function livenessSql(now: SQL<number>, timing: Timing): SQL {
  const [silent, ttl] = [silenceMsOf(now, timing), nodeTtlMsOf(timing)];
  return sql`case when left_at is not null then 'left' when ${silent} <= ${ttl} then 'online'
    when ${silent} <= ${lostAfterMs(ttl)} then 'late' else 'lost' end`;
}
