import { type SQL, sql } from 'drizzle-orm';

/**
 * When a row of `nodes` was heard last, for use inside a query of that table: by itself, or with the last call of its site's
 * leader, which speaks for it (`nodes.uplink_epoch`). Whatever judges whether a node lives asks this and not the column
 * `heard_at` alone, which an uplink leaves as it is.
 */
export const heardAt: SQL<number> = sql`iif(coalesce(nodes.uplink_epoch, 0) = 0, nodes.heard_at,
  max(nodes.heard_at, coalesce((select leases.uplinked_at from leases where leases.fleet = nodes.fleet and leases.site = nodes.site
    and leases.uplink_epoch = nodes.uplink_epoch), 0)))`;
