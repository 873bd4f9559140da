import { sql } from 'drizzle-orm';
import type { DocumentKind, DocumentMeta, SignedDocument } from '../../contract/document.ts';
import type { Database } from '../../ports/database.ts';
import type { documents } from './desired-schema.ts';
import type { desired } from './schema.ts';
import { arg, compileSql, nowOf } from './sql.ts';

export type DocumentRow = typeof documents.$inferSelect;
/** A version without its body. */
export type VersionRow = Omit<DocumentRow, 'body'> & { readonly current: number };
export type HeadRow = typeof desired.$inferSelect;

/** What publishing is decided from, read at one moment. */
export interface PublishState {
  readonly head: HeadRow | undefined;
  readonly row: DocumentRow | undefined;
  /** Of the site's lease; 0 while nobody leads. */
  readonly epoch: number;
  /** Versions that lost to another and wait for a person. */
  readonly open_conflicts: number;
  /** 1 when a site has an emergency version on the current one. */
  readonly emergencies: 0 | 1;
}

export interface NewVersion {
  readonly document: SignedDocument;
  /** The version that it replaces; undefined for the first. */
  readonly replaces: HeadRow | undefined;
  /** Of a Cluster Plan that sets one. */
  readonly ttl_seconds: number | undefined;
  readonly site: string;
  readonly event: { readonly type: string; readonly data: Readonly<Record<string, unknown>>; readonly dedupe: string };
}

export type DocumentStore = ReturnType<typeof createDocumentStore>;

export function createDocumentStore(database: Database) {
  const queries = compileQueries(database);
  return {
    /** The current version's names and nothing else: one row. */
    async head(fleet: string, kind: DocumentKind): Promise<HeadRow | undefined> {
      const [rows] = await database.batch([queries.head.bind({ fleet, kind })]);
      return queries.head.read(rows)[0];
    },
    async state(fleet: string, kind: DocumentKind, site: string): Promise<PublishState> {
      const [head, row, lease, open] = await database.batch([
        queries.head.bind({ fleet, kind }),
        queries.current.bind({ fleet, kind }),
        queries.epoch.bind({ fleet, site }),
        queries.open.bind({ fleet, kind }),
      ]);
      return {
        head: queries.head.read(head)[0],
        row: queries.current.read(row)[0],
        epoch: queries.epoch.read(lease)[0]?.epoch ?? 0,
        open_conflicts: queries.open.read(open)[0]?.open_conflicts ?? 0,
        emergencies: queries.open.read(open)[0]?.emergencies ?? 0,
      };
    },
    async version(fleet: string, kind: DocumentKind, generation: number, hash: string): Promise<DocumentRow | undefined> {
      const [rows] = await database.batch([queries.version.bind({ fleet, kind, generation, hash })]);
      return queries.version.read(rows)[0];
    },
    /** The versions of a generation: more than one only after a partition. Those that are no conflict come first. */
    async ofGeneration(fleet: string, kind: DocumentKind, generation: number): Promise<DocumentRow[]> {
      const [rows] = await database.batch([queries.ofGeneration.bind({ fleet, kind, generation })]);
      return queries.ofGeneration.read(rows);
    },
    /** The newest versions, newest first. */
    async history(fleet: string, kind: DocumentKind, limit: number): Promise<VersionRow[]> {
      const [rows] = await database.batch([queries.history.bind({ fleet, kind, limit })]);
      return queries.history.read(rows);
    },
    /** One compare-and-swap on the current version; false when another is current now, and nothing was written. */
    async swap({ document, replaces, ttl_seconds, site, event }: NewVersion): Promise<boolean> {
      const { fleet, kind, meta } = document;
      const key = { fleet, kind, generation: meta.generation, hash: meta.hash };
      const [won] = await database.batch([
        queries.swap.bind({ ...key, ttl_seconds: ttl_seconds ?? null, old: replaces?.generation ?? -1, old_hash: replaces?.hash ?? '' }),
        queries.insert.bind({ ...columnsOf(meta), ...key, body: JSON.stringify(document.body) }),
        queries.dropSeed.bind(key),
        queries.resolve.bind(key),
        queries.announce.bind({ ...key, type: event.type, dedupe: event.dedupe, site, data: JSON.stringify(event.data) }),
      ]);
      return won?.length === 1;
    },
  };
}

export function columnsOf(meta: DocumentMeta) {
  const { published_by, published_at, epoch, key_id, signature, parent = null } = meta;
  return { published_by, published_at, epoch, key_id, signature, parent };
}

/** The row as the document that was signed. */
export function toDocument({ fleet, kind, parent, body, conflict: _conflict, ...meta }: DocumentRow): SignedDocument {
  return { fleet, kind, meta: { ...meta, ...(parent === null ? {} : { parent }) }, body: JSON.parse(body) };
}

/** The columns of a version without its body. */
export const META = sql`generation, hash, parent, published_by, published_at, epoch, key_id, signature, conflict`;

function compileQueries(database: Database) {
  const now = nowOf(database);
  const ofKind = sql`fleet = ${arg('fleet')} and kind = ${arg('kind')}`;
  // The swap comes first in its batch: what follows runs only where it has made this version the current one.
  const isCurrent = sql`from desired where ${ofKind} and generation = ${arg('generation')} and hash = ${arg('hash')}`;
  const head = sql`(select generation from desired where ${ofKind}), (select hash from desired where ${ofKind})`;
  return {
    head: compileSql<HeadRow>(sql`select * from desired where ${ofKind}`),
    current: compileSql<DocumentRow>(sql`select * from documents where ${ofKind} and (generation, hash) = (${head})`),
    epoch: compileSql<{ epoch: number }>(
      sql`select epoch from leases where fleet = ${arg('fleet')} and site = ${arg('site')} and expires_at > ${now}`,
    ),
    version: compileSql<DocumentRow>(
      sql`select * from documents where ${ofKind} and generation = ${arg('generation')} and hash = ${arg('hash')}`,
    ),
    ofGeneration: compileSql<DocumentRow>(
      sql`select * from documents where ${ofKind} and generation = ${arg('generation')} order by conflict, hash limit 100`,
    ),
    history: compileSql<VersionRow>(sql`
      select fleet, kind, ${META}, (generation, hash) = (${head}) as current
      from documents where ${ofKind} order by generation desc, conflict limit ${arg('limit')}`),
    swap: compileSql<{ generation: number }>(sql`
      insert into desired (fleet, kind, generation, hash, ttl_seconds)
      values (${arg('fleet')}, ${arg('kind')}, ${arg('generation')}, ${arg('hash')}, ${arg('ttl_seconds')})
      on conflict (fleet, kind) do update
        set generation = excluded.generation, hash = excluded.hash, ttl_seconds = excluded.ttl_seconds
        where desired.generation = ${arg('old')} and desired.hash = ${arg('old_hash')}
      returning generation`),
    insert: compileSql<never>(sql`
      insert into documents (fleet, kind, ${META}, body)
      select fleet, kind, generation, hash, ${arg('parent')}, ${arg('published_by')}, ${arg('published_at')}, ${arg('epoch')},
        ${arg('key_id')}, ${arg('signature')}, 0, ${arg('body')} ${isCurrent}
      on conflict do nothing`),
    dropSeed: compileSql<never>(sql`
      delete from documents where ${ofKind} and generation = 0 and ${arg('generation')} = 0 and hash <> ${arg('hash')}
        and exists (select 1 ${isCurrent})`),
    // Whoever publishes has seen what stands here, or could have.
    resolve: compileSql<never>(sql`update documents set conflict = 2 where ${ofKind} and conflict = 1 and exists (select 1 ${isCurrent})`),
    open: compileSql<Pick<PublishState, 'open_conflicts' | 'emergencies'>>(sql`
      select (select count(*) from documents where ${ofKind} and conflict = 1) as open_conflicts,
        exists (select 1 from emergencies where ${ofKind} and generation = (select generation from desired where ${ofKind})) as emergencies`),
    announce: compileSql<never>(sql`
      insert into events (fleet, seq, type, site, at, dedupe, data)
      select fleet, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + 1, ${arg('type')}, ${arg('site')}, ${now},
        ${arg('dedupe')}, ${arg('data')} ${isCurrent}
      on conflict do nothing`),
  };
}
