import { sql } from 'drizzle-orm';
import { type ClaimRequest, MAX_EPOCH_JUMP, type ReleaseRequest } from '../../contract/leader.ts';
import type { Database } from '../../ports/database.ts';
import type { Current } from '../current.ts';
import { placements, type Reachable } from './desired-schema.ts';
import { heldEmergency } from './emergencies.ts';
import { leases } from './schema.ts';
import { arg, compileSql, nowOf, ttlMsOf } from './sql.ts';
import { nodeTtlMsOf, silenceMsOf, type Timing } from './timing.ts';

/** A lease with what is left of it by the database's clock, milliseconds; 0 or less when it has lapsed. */
export type LeaseRow = typeof leases.$inferSelect & { readonly expires_in_ms: number };

export interface Claim extends ClaimRequest {
  readonly fleet: string;
  readonly site: string;
  /** The claimant's own credential proves that it is a node of the fleet, registered here or not. */
  readonly own: boolean;
  /** It comes from the node that this Supervisor runs inside. Its copies claim at their own Supervisors, or at the cloud. */
  readonly inside: boolean;
}

/** Losing is a normal outcome that carries who leads. `lease` is absent when there has never been one. */
export interface ClaimOutcome {
  readonly granted: boolean;
  readonly lease: LeaseRow | undefined;
  readonly current: Current;
  readonly registered: boolean;
}

/** Who leads now, who has released the lease and was not followed yet, what is published, and who would take over. */
export interface NewsRow {
  /** A fencing token; null while nobody leads. */
  readonly leader: string | null;
  readonly released_by: string | null;
  readonly released_epoch: number | null;
  readonly plan: number | null;
  readonly profile: number | null;
  /** The numbers of the emergency versions that hold for the site. */
  readonly plan_emergency: number | null;
  readonly profile_emergency: number | null;
  /** Of a Cluster Plan that sets one. */
  readonly ttl_seconds: number | null;
  readonly successors: readonly Reachable[] | null;
  readonly places: number | null;
}

const NO_NEWS: NewsRow = {
  leader: null,
  released_by: null,
  released_epoch: null,
  plan: null,
  profile: null,
  plan_emergency: null,
  profile_emergency: null,
  ttl_seconds: null,
  successors: null,
  places: null,
};

export type LeaseStore = ReturnType<typeof createLeaseStore>;

export function createLeaseStore(database: Database, timing: Timing) {
  const queries = compileQueries(database, timing);
  return {
    /**
     * One compare-and-swap, judged by the database's clock. A renewal by the holder with its epoch keeps
     * the epoch; a lapsed lease, or the holder without an epoch (it restarted), gets a higher one. The holder's id at another
     * address may be a copy of its disk, which both would take the lease from: that one waits until it lapses.
     */
    async claim(claim: Claim): Promise<ClaimOutcome> {
      const { fleet, site, node_id } = claim;
      const seen = Math.max(claim.epoch ?? 0, claim.epoch_seen ?? 0);
      const values = {
        fleet,
        site,
        node_id,
        url: claim.url,
        epoch: claim.epoch ?? null,
        seen,
        own: claim.own ? 1 : 0,
        inside: claim.inside ? 1 : 0,
      };
      const [won, , lease, known] = await database.batch([
        queries.claim.bind(values),
        queries.announce.bind({ fleet, site, node_id }),
        queries.get.bind({ fleet, site }),
        queries.known.bind({ fleet, site, node_id }),
      ]);
      const { registered, ...current } = queries.known.read(known)[0] ?? { registered: 0, leader: null, plan: null, profile: null };
      return { granted: won?.length === 1, lease: queries.get.read(lease)[0], current, registered: registered === 1 };
    },
    /** The site's lease, lapsed or not. */
    async get(fleet: string, site: string): Promise<LeaseRow | undefined> {
      const [rows] = await database.batch([queries.get.bind({ fleet, site })]);
      return queries.get.read(rows)[0];
    },
    /** The site's lease while it has not lapsed, with how many nodes of the site were heard within a TTL. */
    async live(fleet: string, site: string): Promise<(LeaseRow & { readonly nodes_heard: number }) | undefined> {
      const [rows] = await database.batch([queries.live.bind({ fleet, site })]);
      return queries.live.read(rows)[0];
    },
    /** Ends the lease at once. False when the caller does not hold it at that epoch. */
    async release(fleet: string, site: string, { node_id, epoch, yields = false }: ReleaseRequest): Promise<boolean> {
      const ended = yields ? 'yielded' : 'released';
      const [rows] = await database.batch([queries.release.bind({ fleet, site, node_id, epoch, ended })]);
      return rows?.length === 1;
    },
    /** What the news of a site tells, in one read by primary keys. */
    async news(fleet: string, site: string): Promise<NewsRow> {
      const [rows] = await database.batch([queries.news.bind({ fleet, site })]);
      return queries.news.read(rows)[0] ?? NO_NEWS;
    },
  };
}

function compileQueries(database: Database, timing: Timing) {
  const now = nowOf(database);
  const here = sql`fleet = ${arg('fleet')} and site = ${arg('site')}`;
  const ttl = ttlMsOf(timing.ttl_seconds);
  const lapsed = sql`leases.expires_at <= ${now}`;
  const emergency = (kind: 'plan' | 'profile') =>
    heldEmergency(sql`newest.n`, { fleet: arg('fleet'), site: arg('site'), kind: sql.raw(`'${kind}'`) });
  const renews = sql`(leases.node_id = excluded.node_id and leases.epoch = ${arg('epoch')} and not ${lapsed})`;
  const restarts = sql`(leases.node_id = excluded.node_id and ${arg('epoch')} is null
    and (${arg('inside')} or leases.url = excluded.url))`;
  // The same holder as before, who has seen no later epoch anywhere: nobody has led in between.
  const unbroken = sql`(leases.node_id = excluded.node_id and ${arg('seen')} <= leases.epoch)`;
  // A renewal that was still under way when its own sender gave the lease back must not take it again.
  const overtaken = sql`(leases.ended is not null and leases.node_id = excluded.node_id and leases.epoch = ${arg('epoch')})`;
  // Its holder counts on what it was granted until an answer says otherwise, and an answer may get lost: a TTL that is shorter by
  // now ends no lease sooner. What a clock that was set back has left behind is no grant.
  const granted = sql`case when ${renews} then max(excluded.expires_at, min(leases.expires_at, ${now} + leases.granted_ms)) else excluded.expires_at end`;
  return {
    claim: compileSql<{ epoch: number }>(sql`
      insert into leases (fleet, site, node_id, url, epoch, expires_at, renewals, since_epoch, granted_ms)
      select ${arg('fleet')}, ${arg('site')}, ${arg('node_id')}, ${arg('url')}, ${arg('seen')} + 1, ${now} + ${ttl}, 0, ${arg('seen')} + 1, ${ttl}
      where ${arg('seen')} <= coalesce((select epoch from leases where ${here}), 0) + ${sql.raw(String(MAX_EPOCH_JUMP))}
        and (${arg('own')} or exists (select 1 from nodes where fleet = ${arg('fleet')} and node_id = ${arg('node_id')}))
      on conflict (fleet, site) do update set
        node_id = excluded.node_id, url = excluded.url, expires_at = ${granted}, granted_ms = ${granted} - ${now}, ended = null,
        epoch = case when ${renews} then leases.epoch else max(leases.epoch, ${arg('seen')}) + 1 end,
        renewals = case when ${renews} then leases.renewals + 1 else 0 end,
        since_epoch = case when ${renews} or ${unbroken} then leases.since_epoch else max(leases.epoch, ${arg('seen')}) + 1 end
      where (${lapsed} and not ${overtaken}) or ${renews} or ${restarts}
      returning epoch`),
    announce: compileSql<never>(sql`
      insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
      select fleet, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + 1, 'overlay.leader', site, node_id, ${now},
        'leader/' || site || '/' || epoch, json_object('leader_url', url, 'epoch', epoch)
      from leases where ${here} and node_id = ${arg('node_id')} and renewals = 0
      on conflict do nothing`),
    known: compileSql<Current & { registered: number }>(sql`
      select exists (select 1 from nodes where fleet = ${arg('fleet')} and node_id = ${arg('node_id')}) as registered,
        (select epoch || '/' || node_id from leases where ${here}) as leader,
        (select generation from desired where fleet = ${arg('fleet')} and kind = 'plan') as plan,
        (select generation from desired where fleet = ${arg('fleet')} and kind = 'profile') as profile`),
    get: compileSql<LeaseRow>(sql`select *, expires_at - ${now} as expires_in_ms from leases where ${here}`, leases),
    live: compileSql<LeaseRow & { nodes_heard: number }>(
      sql`select *, expires_at - ${now} as expires_in_ms,
          (select count(*) from nodes indexed by nodes_by_site
            where ${here} and left_at is null and ${silenceMsOf(now, timing)} < ${nodeTtlMsOf(timing)}) as nodes_heard
        from leases where ${here} and expires_at > ${now}`,
      leases,
    ),
    release: compileSql<{ epoch: number }>(sql`
      update leases set expires_at = 0, ended = ${arg('ended')} where ${here} and node_id = ${arg('node_id')} and epoch = ${arg('epoch')} and expires_at > ${now}
      returning epoch`),
    news: compileSql<NewsRow>(
      sql`select case when expires_at > ${now} then epoch || '/' || node_id end as leader,
          case when ended = 'released' then node_id end as released_by, case when ended = 'released' then epoch end as released_epoch,
          (select generation from desired where fleet = ${arg('fleet')} and kind = 'plan') as plan,
          (select generation from desired where fleet = ${arg('fleet')} and kind = 'profile') as profile,
          (${emergency('plan')}) as plan_emergency, (${emergency('profile')}) as profile_emergency,
          (select ttl_seconds from desired where fleet = ${arg('fleet')} and kind = 'plan') as ttl_seconds,
          (select successors from placements where placements.fleet = leases.fleet and placements.site = leases.site
            and placements.epoch = leases.epoch and placements.leader_node_id = leases.node_id) as successors,
          (select revision from placements where placements.fleet = leases.fleet and placements.site = leases.site) as places
        from leases where ${here}`,
      placements,
    ),
  };
}
