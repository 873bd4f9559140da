import { type SQL, sql } from 'drizzle-orm';
import type { DocumentKind, SignedDocument } from '../../contract/document.ts';
import type { Database } from '../../ports/database.ts';
import type { emergencies } from './desired-schema.ts';
import type { DocumentRow, HeadRow } from './documents.ts';
import type { NewEvent } from './events.ts';
import { arg, compileSql, nowOf } from './sql.ts';

export type EmergencyRow = typeof emergencies.$inferSelect;
/** A version without its body. */
export type EmergencyName = Omit<EmergencyRow, 'body'>;

export type HeldRow = Pick<EmergencyRow, 'kind' | 'generation' | 'n' | 'hash' | 'published_by' | 'published_at'>;

/** What an emergency version is published on, read at one moment. */
export interface EmergencyState {
  /** Of the fleet's sequence. */
  readonly head: HeadRow | undefined;
  readonly row: DocumentRow | undefined;
  /** The newest of the site, whether it holds or not. */
  readonly newest: EmergencyRow | undefined;
  /** Of the site's lease; 0 while nobody leads. */
  readonly epoch: number;
}

export interface NewEmergency {
  readonly document: SignedDocument;
  readonly site: string;
  readonly n: number;
  readonly head: HeadRow | undefined;
  readonly event: NewEvent;
}

/** How many of a fleet are listed at most, the newest of each site first. */
const LISTED = 1000;

export type EmergencyStore = ReturnType<typeof createEmergencyStore>;

/** Emergency versions, each of one site. They change nothing of the sequence of versions. */
export function createEmergencyStore(database: Database) {
  const queries = compileQueries(database);
  return {
    async state(fleet: string, kind: DocumentKind, site: string): Promise<EmergencyState> {
      const values = { fleet, kind, site };
      const [head, row, newest, epoch] = await database.batch([
        queries.head.bind({ fleet, kind }),
        queries.current.bind({ fleet, kind }),
        queries.newest.bind(values),
        queries.epoch.bind({ fleet, site }),
      ]);
      return {
        head: queries.head.read(head)[0],
        row: queries.current.read(row)[0],
        newest: queries.newest.read(newest)[0],
        epoch: queries.epoch.read(epoch)[0]?.epoch ?? 0,
      };
    },
    /** What the site follows: its emergency version while one holds, else the current version of the fleet. */
    async followed(fleet: string, kind: DocumentKind, site: string): Promise<FollowedRow | undefined> {
      const [rows] = await database.batch([queries.followed.bind({ fleet, kind, site })]);
      return queries.followed.read(rows)[0];
    },
    /** Those that a site follows. */
    async held(fleet: string, site: string): Promise<HeldRow[]> {
      const [rows] = await database.batch([queries.held.bind({ fleet, site })]);
      return queries.held.read(rows);
    },
    async version(fleet: string, kind: DocumentKind, site: string, name: { generation: number; n: number; hash?: string | undefined }) {
      const [rows] = await database.batch([queries.version.bind({ fleet, kind, site, ...name, hash: name.hash ?? null })]);
      return queries.version.read(rows)[0];
    },
    /** Of a site, else of all of them; newest first. */
    async list(fleet: string, kind: DocumentKind, site: string | undefined, limit = LISTED): Promise<EmergencyName[]> {
      const query = site === undefined ? queries.list.bind({ fleet, kind, limit }) : queries.listSite.bind({ fleet, kind, site, limit });
      const [rows] = await database.batch([query]);
      return queries.list.read(rows);
    },
    /** False when another was published on the site meanwhile, or on the fleet; then nothing was written. */
    async publish({ document, site, n, head, event }: NewEmergency): Promise<boolean> {
      const { fleet, kind } = document;
      const [written] = await database.batch([
        queries.publish.bind({ ...columnsOf(document, site, n), head: head?.generation ?? -1, head_hash: head?.hash ?? '' }),
        queries.announce.bind({
          fleet,
          kind,
          site,
          generation: document.meta.generation,
          n,
          hash: document.meta.hash,
          ...eventColumns(event),
        }),
      ]);
      return written?.length === 1;
    },
    /** Keeps one that another Supervisor published; false when it is known already. */
    async keep({ document, site, n, event }: Omit<NewEmergency, 'head'>): Promise<boolean> {
      const { fleet, kind } = document;
      const [written] = await database.batch([
        queries.keep.bind(columnsOf(document, site, n)),
        queries.announce.bind({
          fleet,
          kind,
          site,
          generation: document.meta.generation,
          n,
          hash: document.meta.hash,
          ...eventColumns(event),
        }),
      ]);
      return written?.length === 1;
    },
  };
}

/** The names of a version that nodes follow. `n`: of an emergency version, else null. */
export interface FollowedRow {
  readonly generation: number;
  readonly hash: string;
  readonly n: number | null;
}

function columnsOf({ fleet, kind, meta, body }: SignedDocument, site: string, n: number) {
  const { generation, hash, parent = null, published_by, published_at, epoch, key_id, signature } = meta;
  const row: EmergencyRow = {
    ...{ fleet, kind, site, generation, n, hash, parent, published_by, published_at, epoch, key_id, signature },
    body: JSON.stringify(body),
  };
  return row;
}

function eventColumns({ type, dedupe, data }: NewEvent) {
  return { type, dedupe, data: JSON.stringify(data) };
}

/**
 * The emergency version that a site follows: its newest one, unless the fleet's sequence has gone on
 * (`decide/emergency.ts` says the same of one version). `columns` are of `newest`.
 */
export function heldEmergency(columns: SQL, { fleet, kind, site }: { fleet: SQL; kind: SQL; site: SQL }): SQL {
  const ofHead = (column: 'generation' | 'hash') =>
    sql`(select ${sql.raw(column)} from desired where desired.fleet = ${fleet} and desired.kind = ${kind})`;
  return sql`select ${columns} from emergencies as newest
    where newest.fleet = ${fleet} and newest.kind = ${kind} and newest.site = ${site}
      and (newest.generation, newest.n, newest.hash) = (
        select one.generation, one.n, one.hash from emergencies as one
        where one.fleet = ${fleet} and one.kind = ${kind} and one.site = ${site} and one.generation >= coalesce(${ofHead('generation')}, 0)
          and (one.generation > coalesce(${ofHead('generation')}, -1) or one.generation = 0 or one.parent = ${ofHead('hash')})
        order by one.generation desc, one.n desc, one.hash desc limit 1)`;
}

/** Names and signature, in the order of the table. */
const NAMES = sql`fleet, kind, site, generation, n, hash, parent, published_by, published_at, epoch, key_id, signature`;

function compileQueries(database: Database) {
  const now = nowOf(database);
  const ofKind = sql`fleet = ${arg('fleet')} and kind = ${arg('kind')}`;
  const here = { fleet: arg('fleet'), kind: arg('kind'), site: arg('site') };
  const heldOf = (kind: DocumentKind) =>
    heldEmergency(sql`newest.kind, newest.generation, newest.n, newest.hash, newest.published_by, newest.published_at`, {
      ...{ fleet: arg('fleet'), site: arg('site'), kind: sql.raw(`'${kind}'`) },
    });
  const ofSite = sql`${ofKind} and site = ${arg('site')}`;
  const row = sql`${arg('fleet')}, ${arg('kind')}, ${arg('site')}, ${arg('generation')}, ${arg('n')}, ${arg('hash')}, ${arg('parent')},
    ${arg('published_by')}, ${arg('published_at')}, ${arg('epoch')}, ${arg('key_id')}, ${arg('signature')}, ${arg('body')}`;
  const head = sql`(select generation from desired where ${ofKind}), (select hash from desired where ${ofKind})`;
  return {
    head: compileSql<HeadRow>(sql`select * from desired where ${ofKind}`),
    current: compileSql<DocumentRow>(sql`select * from documents where ${ofKind} and (generation, hash) = (${head})`),
    newest: compileSql<EmergencyRow>(sql`
      select * from emergencies where ${ofSite} order by generation desc, n desc, hash desc limit 1`),
    epoch: compileSql<{ epoch: number }>(
      sql`select epoch from leases where fleet = ${arg('fleet')} and site = ${arg('site')} and expires_at > ${now}`,
    ),
    followed: compileSql<FollowedRow>(sql`
      ${heldEmergency(sql`newest.generation, newest.hash, newest.n`, here)}
      union all select generation, hash, null as n from desired where ${ofKind}
        and not exists (${heldEmergency(sql`1`, here)})`),
    held: compileSql<HeldRow>(sql`${heldOf('plan')} union all ${heldOf('profile')}`),
    version: compileSql<EmergencyRow>(sql`
      select * from emergencies where ${ofSite} and generation = ${arg('generation')} and n = ${arg('n')}
        and hash = coalesce(${arg('hash')}, hash) order by hash desc limit 1`),
    list: compileSql<EmergencyName>(sql`
      select ${NAMES} from emergencies where ${ofKind} order by generation desc, n desc, site, hash desc limit ${arg('limit')}`),
    listSite: compileSql<EmergencyName>(sql`
      select ${NAMES} from emergencies where ${ofSite} order by generation desc, n desc, hash desc limit ${arg('limit')}`),
    publish: compileSql<{ n: number }>(sql`
      insert into emergencies (${NAMES}, body)
      select ${row}
      where coalesce((select generation from desired where ${ofKind}), -1) = ${arg('head')}
        and coalesce((select hash from desired where ${ofKind}), '') = ${arg('head_hash')}
        and not exists (select 1 from emergencies where ${ofSite} and (generation, n) >= (${arg('generation')}, ${arg('n')}))
      returning n`),
    keep: compileSql<{ n: number }>(sql`
      insert into emergencies (${NAMES}, body) values (${row}) on conflict do nothing returning n`),
    announce: compileSql<never>(sql`
      insert into events (fleet, seq, type, site, at, dedupe, data)
      select fleet, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + 1, ${arg('type')}, site, ${now},
        ${arg('dedupe')}, ${arg('data')}
      from emergencies where ${ofSite} and generation = ${arg('generation')} and n = ${arg('n')} and hash = ${arg('hash')}
      on conflict do nothing`),
  };
}
