import { sql } from 'drizzle-orm';
import type { EventRecord, EventType } from '../../contract/event.ts';
import { toTimestamp } from '../../contract/ids.ts';
import type { Database, Statement } from '../../ports/database.ts';
import { events } from './schema.ts';
import { arg, compileSql, nowOf } from './sql.ts';

export interface NewEvent {
  readonly fleet: string;
  readonly type: EventType;
  readonly site: string;
  readonly node_id?: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Names the event: a second one with the same text in the same fleet is not written. */
  readonly dedupe: string;
}

export type EventRow = typeof events.$inferSelect;

export interface EventQuery {
  readonly fleet: string;
  /** Only later ones. */
  readonly after: number;
  readonly limit: number;
  /** Events of this site, and those of the fleet's documents, which concern every site. */
  readonly site?: string;
}

export type EventStore = ReturnType<typeof createEventStore>;

export function createEventStore(database: Database) {
  const queries = compileQueries(database);
  return {
    /** The statement that writes an event, for the batch that makes the change it tells of. Returns a row when the event is new. */
    append: (event: NewEvent): Statement =>
      queries.append.bind({ ...event, node_id: event.node_id ?? null, data: JSON.stringify(event.data) }),
    async list({ fleet, after, limit, site }: EventQuery): Promise<EventRow[]> {
      const query = site === undefined ? queries.list : queries.listSite;
      const [rows] = await database.batch([query.bind({ fleet, after, limit, site: site ?? '' })]);
      return query.read(rows);
    },
    /** The newest events, oldest first. */
    async latest({ fleet, limit, site }: Omit<EventQuery, 'after'>): Promise<EventRow[]> {
      const query = site === undefined ? queries.latest : queries.latestSite;
      const [rows] = await database.batch([query.bind({ fleet, limit, site: site ?? '' })]);
      return query.read(rows).reverse();
    },
    /** The cursor of the newest event; 0 when there is none. */
    async newest(fleet: string): Promise<number> {
      const [rows] = await database.batch([queries.newest.bind({ fleet })]);
      return queries.newest.read(rows)[0]?.seq ?? 0;
    },
  };
}

export function toEventRecord({ seq, type, site, node_id, at, data }: EventRow): EventRecord {
  return { cursor: String(seq), type, site, ...(node_id === null ? {} : { node_id }), at: toTimestamp(at), data };
}

function compileQueries(database: Database) {
  const now = nowOf(database);
  const newest = sql`select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}`;
  const page = sql`order by seq limit ${arg('limit')}`;
  const lastPage = sql`order by seq desc limit ${arg('limit')}`;
  const all = sql`select * from events where fleet = ${arg('fleet')}`;
  const range = sql`${all} and seq > ${arg('after')}`;
  const ofSite = sql`(site = ${arg('site')} or type in ('overlay.plan', 'overlay.profile', 'overlay.conflict'))`;
  return {
    append: compileSql<{ seq: number }>(sql`
      insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
      values (${arg('fleet')}, (${newest}) + 1, ${arg('type')}, ${arg('site')}, ${arg('node_id')}, ${now}, ${arg('dedupe')}, ${arg('data')})
      on conflict do nothing returning seq`),
    list: compileSql<EventRow>(sql`${range} ${page}`, events),
    listSite: compileSql<EventRow>(sql`${range} and ${ofSite} ${page}`, events),
    latest: compileSql<EventRow>(sql`${all} ${lastPage}`, events),
    latestSite: compileSql<EventRow>(sql`${all} and ${ofSite} ${lastPage}`, events),
    newest: compileSql<{ seq: number }>(sql`select (${newest}) as seq`),
  };
}
