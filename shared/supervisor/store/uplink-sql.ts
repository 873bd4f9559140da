import { type SQL, sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import type { Current } from '../current.ts';
import { arg, compileSql, nowOf, repeatable, ttlMsOf } from './sql.ts';

export interface RenewedRow extends Current {
  readonly epoch: number;
  readonly expires_at: number;
  readonly expires_in_ms: number;
  readonly taken: number;
  readonly other: number;
}

/**
 * Ages are counted from when a call came, so what was told later may seem older by as long as a call is under way. More
 * than this, milliseconds, is what a node told elsewhere meanwhile.
 */
const UNDER_WAY_MS = 10_000;

const here = sql`fleet = ${arg('fleet')} and site = ${arg('site')}`;
const item = (name: string) => sql.raw(`given.value ->> '${name}'`);
const json = (name: string) => sql.raw(`given.value -> '${name}'`);
const part = (name: string) => sql.raw(`part.value ->> '${name}'`);

/**
 * Every statement asks for the lease itself: they run in one transaction, but nothing can be decided between two of them.
 * All may run twice.
 */
export function compileUplinkQueries(database: Database, ttl_seconds: number) {
  const now = nowOf(database);
  const held = sql`${here} and node_id = ${arg('node_id')} and epoch = ${arg('epoch')} and expires_at > ${now}`;
  const taken = sql`exists (select 1 from leases where ${held} and uplink_session = ${arg('session')} and uplink_seq = ${arg('seq')})`;
  const nodes = compileNodes(now, taken);
  return {
    ...compileLease(database, ttl_seconds),
    changed: repeatable(nodes.changed),
    added: repeatable(nodes.added),
    components: repeatable(compileSql<never>(componentsSql(now, taken))),
    reclaim: repeatable(
      compileSql<never>(sql`
        update nodes set uplink_epoch = 0
        where fleet = ${arg('fleet')} and node_id = ${arg('node_id')} and site = ${arg('site')} and uplink_epoch is null`),
    ),
    gone: repeatable(
      compileSql<never>(sql`
        update nodes set left_at = ${now}, uplink_epoch = 0
        where fleet = ${arg('fleet')} and node_id in (select value from json_each(${arg('gone')})) and site = ${arg('site')}
          and left_at is null and uplink_epoch is not null and ${taken}`),
    ),
    events: repeatable(
      compileSql<{ dedupe: string }>(sql`
        insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
        select ${arg('fleet')}, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + given.key + 1, ${item('type')},
          ${arg('site')}, ${item('node_id')}, ${now} - ${item('age_ms')}, ${item('dedupe')}, ${json('data')}
        from json_each(${arg('events')}) as given where ${taken}
        on conflict do nothing returning dedupe`),
    ),
  };
}

function compileLease(database: Database, ttl_seconds: number) {
  const now = nowOf(database);
  const ttl = ttlMsOf(ttl_seconds);
  const held = sql`${here} and node_id = ${arg('node_id')} and epoch = ${arg('epoch')} and expires_at > ${now}`;
  const begins = sql`(${arg('full')} and (uplink_session is not ${arg('session')} or uplink_seq <= ${arg('seq')}))`;
  const follows = sql`(uplink_session = ${arg('session')} and uplink_seq in (${arg('seq')} - 1, ${arg('seq')}))`;
  const isTaken = sql`(${begins} or ${follows})`;
  // As a claim renews it (`leases.ts`): what was granted holds on where the TTL is shorter by now.
  const granted = sql`max(${now} + ${ttl}, min(expires_at, ${now} + granted_ms))`;
  return {
    // Whom the new session does not name was heard last with the one before. Whom it names is written once, and not twice.
    hush: repeatable(
      compileSql<never>(sql`
        update nodes indexed by nodes_by_site
        set uplink_epoch = 0, heard_at = max(heard_at, coalesce((select uplinked_at from leases
          where ${here} and leases.uplink_epoch = nodes.uplink_epoch), 0))
        where ${here} and uplink_epoch > 0 and node_id not in (select value ->> 'node_id' from json_each(${arg('nodes')}))
          and exists (select 1 from leases where ${held} and uplink_session is not ${arg('session')})`),
    ),
    renew: repeatable(
      compileSql<RenewedRow>(sql`
        update leases set url = ${arg('url')}, expires_at = ${granted}, granted_ms = ${granted} - ${now}, renewals = renewals + 1,
          uplink_epoch = iif(${isTaken}, epoch, uplink_epoch), uplinked_at = iif(${isTaken}, ${now}, uplinked_at),
          uplink_session = iif(${isTaken}, ${arg('session')}, uplink_session), uplink_seq = iif(${isTaken}, ${arg('seq')}, uplink_seq)
        where ${held}
        returning epoch, expires_at, expires_at - ${now} as expires_in_ms,
          coalesce(uplink_session = ${arg('session')} and uplink_seq = ${arg('seq')}, 0) as taken,
          coalesce((select nodes.instance_id <> ${arg('instance_id')} and nodes.uplink_epoch is null from nodes
            where nodes.fleet = leases.fleet and nodes.node_id = leases.node_id), 0) as other, epoch || '/' || node_id as leader,
          (select generation from desired where desired.fleet = leases.fleet and kind = 'plan') as plan,
          (select generation from desired where desired.fleet = leases.fleet and kind = 'profile') as profile`),
    ),
  };
}

/** What a leader says of a node beside whose it is. */
const SAID = ['instance_id', 'role', 'url', 'host', 'ip', 'capabilities', 'versions', 'devices', 'services_running', 'lead'];
const said = (prefix: string) => sql.raw(SAID.map((name) => `${prefix}${name}`).join(', '));

/**
 * A node is taken over from whoever spoke of it before only by a later registration. What is as it was is not written
 * again: neither by a repetition nor by a new session.
 */
function compileNodes(now: SQL<number>, taken: SQL) {
  const told = sql`with told as materialized (
    select ${arg('fleet')} as fleet, ${item('node_id')} as node_id, ${arg('site')} as site, ${item('instance_id')} as instance_id,
      ${item('role')} as role, ${item('url')} as url, ${item('host')} as host, ${item('ip')} as ip, ${json('capabilities')} as capabilities,
      ${json('versions')} as versions, coalesce(${json('devices')}, '[]') as devices, ${json('services_running')} as services_running,
      coalesce(${item('lead')}, 1) as lead, ${now} - ${item('registered_ms')} as registered_at,
      ${now} - coalesce(${item('silent_ms')}, 0) as heard_at, iif(${item('silent_ms')} is null, ${arg('epoch')}, 0) as uplink_epoch
    from json_each(${arg('nodes')}) as given)`;
  const take = (from: string) => {
    const displaces = sql.raw(`nodes.instance_id is not null and nodes.instance_id is not ${from}.instance_id`);
    return sql`displaced_instance_id = case when ${displaces} then nodes.instance_id else nodes.displaced_instance_id end,
      displaced_at = case when ${displaces} then ${now} else nodes.displaced_at end,
      ${sql.raw(SAID.map((name) => `${name} = ${from}.${name}`).join(', '))}, metrics = null, ttl_seconds = null, left_at = null,
      registered_at = ${sql.raw(from)}.registered_at, uplink_epoch = ${sql.raw(from)}.uplink_epoch`;
  };
  const isLater = (from: string) => sql.raw(`${from}.registered_at > coalesce(nodes.left_at, nodes.registered_at)`);
  return {
    // Apart from the other, which names the site: an index has it, and would be written with each change.
    changed: compileSql<never>(sql`${told}
      update nodes set ${take('told')}, heard_at = iif(nodes.uplink_epoch is null, max(nodes.heard_at, told.heard_at), told.heard_at)
      from told where nodes.fleet = told.fleet and nodes.node_id = told.node_id and nodes.site = told.site
        and (nodes.uplink_epoch is not null or ${isLater('told')})
        and (nodes.uplink_epoch, nodes.left_at, ${said('nodes.')}) is not (told.uplink_epoch, null, ${said('told.')}) and ${taken}`),
    added: compileSql<never>(sql`${told}
      insert into nodes (fleet, node_id, site, ${said('')}, registered_at, heard_at, uplink_epoch)
      select fleet, node_id, site, ${said('')}, registered_at, heard_at, uplink_epoch from told where ${taken}
      on conflict (fleet, node_id) do update set site = excluded.site, ${take('excluded')}, heard_at = max(nodes.heard_at, excluded.heard_at)
        where nodes.site <> excluded.site and ${isLater('excluded')}`),
  };
}

function componentsSql(now: SQL<number>, taken: SQL): SQL {
  const told = ['status', 'action', 'generation', 'hash', 'attempt', 'duration_ms', 'message', 'incompatible'];
  const all = (prefix: string) => sql.raw(told.map((name) => `${prefix}${name}`).join(', '));
  return sql`
    insert into component_status (fleet, node_id, component, ${all('')}, at, seq)
    select nodes.fleet, nodes.node_id, part.key, ${part('status')}, ${part('action')}, ${part('generation')}, ${part('hash')},
      ${part('attempt')}, ${part('duration_ms')}, ${part('message')}, part.value -> 'incompatible', ${now} - ${part('age_ms')},
      (select coalesce(max(seq), 0) from events where events.fleet = ${arg('fleet')})
    from json_each(${arg('nodes')}) as given cross join json_each(given.value, '$.components') as part
      cross join nodes on nodes.fleet = ${arg('fleet')} and nodes.node_id = ${item('node_id')} and nodes.site = ${arg('site')}
        and nodes.uplink_epoch is not null
    where ${taken}
    on conflict (fleet, node_id, component) do update set
      ${sql.raw(told.map((name) => `${name} = excluded.${name}`).join(', '))}, at = excluded.at, seq = excluded.seq
    where excluded.at > component_status.at - ${sql.raw(String(UNDER_WAY_MS))}
      and ((${all('component_status.')}) is not (${all('excluded.')}))`;
}
