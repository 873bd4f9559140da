import { sql } from 'drizzle-orm';
import type { DocumentKind, SignedDocument, VersionName } from '../../contract/document.ts';
import type { Mark } from '../../decide/reception.ts';
import type { Database } from '../../ports/database.ts';
import { columnsOf, type HeadRow, META, type VersionRow } from './documents.ts';
import type { NewEvent } from './events.ts';
import { arg, compileSql, nowOf } from './sql.ts';

/** What an offer is decided from, read at one moment. */
export interface VersionsState {
  readonly head: HeadRow | undefined;
  /** The newest, newest first. */
  readonly versions: readonly VersionRow[];
}

export interface NewVersions {
  readonly fleet: string;
  readonly kind: DocumentKind;
  readonly before: VersionName | undefined;
  /** The current version afterwards: `before` again where that stays. */
  readonly after: VersionName | undefined;
  readonly ttl_seconds: number | undefined;
  readonly documents: readonly SignedDocument[];
  readonly marks: readonly (VersionName & { readonly mark: Mark })[];
  /** Tells of the new current version. */
  readonly event: NewEvent | undefined;
  /** One for each version that has just become a conflict. */
  readonly conflicts: readonly NewEvent[];
}

/** How many versions an offer is compared with: the newest. */
const COMPARED_VERSIONS = 2000;

export type VersionStore = ReturnType<typeof createVersionStore>;

/** The versions of the desired documents as they travel between Supervisors. */
export function createVersionStore(database: Database) {
  const queries = compileQueries(database);
  return {
    async state(fleet: string, kind: DocumentKind): Promise<VersionsState> {
      const values = { fleet, kind, limit: COMPARED_VERSIONS };
      const [head, versions] = await database.batch([queries.head.bind(values), queries.versions.bind(values)]);
      return { head: queries.head.read(head)[0], versions: queries.versions.read(versions) };
    },
    /**
     * Writes all of it, or nothing: undefined when another version than `before` was current by then.
     * Else how many conflicts are open now, and which of the events are new.
     */
    async merge(change: NewVersions): Promise<{ open_conflicts: number; announced: NewEvent[] } | undefined> {
      const { fleet, kind, before, after } = change;
      const here = { fleet, kind, generation: after?.generation ?? -1, hash: after?.hash ?? '' };
      const isNew = after !== undefined && (before?.generation !== after.generation || before.hash !== after.hash);
      const old = { old: before?.generation ?? -1, old_hash: before?.hash ?? '', ttl_seconds: change.ttl_seconds ?? null };
      const events = [...(change.event === undefined ? [] : [change.event]), ...change.conflicts];
      const results = await database.batch([
        ...(isNew ? [queries.swap.bind({ ...here, ...old })] : []),
        ...change.documents.map(({ meta, body }) =>
          queries.insert.bind({
            ...here,
            ...columnsOf(meta),
            own_generation: meta.generation,
            own_hash: meta.hash,
            body: JSON.stringify(body),
          }),
        ),
        ...(isNew && after.generation === 0 ? [queries.dropSeeds.bind(here)] : []),
        ...(change.marks.length === 0 ? [] : [queries.mark.bind({ ...here, marks: JSON.stringify(change.marks) })]),
        ...(events.length === 0 ? [] : [queries.announce.bind({ ...here, events: JSON.stringify(events) })]),
        queries.settled.bind(here),
      ]);
      const settled = queries.settled.read(results.at(-1))[0];
      if (settled === undefined || settled.isCurrent === 0) return undefined;
      const written = new Set(events.length === 0 ? [] : queries.announce.read(results.at(-2)).map(({ dedupe }) => dedupe));
      return { open_conflicts: settled.open_conflicts, announced: events.filter(({ dedupe }) => written.has(dedupe)) };
    },
  };
}

function compileQueries(database: Database) {
  const now = nowOf(database);
  const ofKind = sql`fleet = ${arg('fleet')} and kind = ${arg('kind')}`;
  // The swap comes first in its batch: what follows runs only where the version that was decided on is the current one.
  const isCurrent = sql`(coalesce((select generation from desired where ${ofKind}), -1), coalesce((select hash from desired where ${ofKind}), ''))
    = (${arg('generation')}, ${arg('hash')})`;
  const marked = sql`from json_each(${arg('marks')}) as one
    where one.value ->> 'generation' = documents.generation and one.value ->> 'hash' = documents.hash`;
  return {
    head: compileSql<HeadRow>(sql`select * from desired where ${ofKind}`),
    versions: compileSql<VersionRow>(sql`
      select fleet, kind, ${META}, 0 as current from documents where ${ofKind} order by generation desc limit ${arg('limit')}`),
    swap: compileSql<never>(sql`
      insert into desired (fleet, kind, generation, hash, ttl_seconds)
      select ${arg('fleet')}, ${arg('kind')}, ${arg('generation')}, ${arg('hash')}, ${arg('ttl_seconds')}
      where ${arg('old')} = -1 or exists (select 1 from desired where ${ofKind})
      on conflict (fleet, kind) do update
        set generation = excluded.generation, hash = excluded.hash, ttl_seconds = excluded.ttl_seconds
        where desired.generation = ${arg('old')} and desired.hash = ${arg('old_hash')}`),
    insert: compileSql<never>(sql`
      insert into documents (fleet, kind, ${META}, body)
      select ${arg('fleet')}, ${arg('kind')}, ${arg('own_generation')}, ${arg('own_hash')}, ${arg('parent')}, ${arg('published_by')},
        ${arg('published_at')}, ${arg('epoch')}, ${arg('key_id')}, ${arg('signature')}, 0, ${arg('body')}
      where ${isCurrent}
      on conflict do nothing`),
    dropSeeds: compileSql<never>(sql`
      delete from documents where ${ofKind} and generation = 0 and hash <> ${arg('hash')} and ${isCurrent}`),
    mark: compileSql<never>(sql`
      update documents set conflict = (select one.value ->> 'mark' ${marked})
      where ${ofKind} and exists (select 1 ${marked}) and ${isCurrent}`),
    announce: compileSql<{ dedupe: string }>(sql`
      insert into events (fleet, seq, type, site, at, dedupe, data)
      select ${arg('fleet')}, (select coalesce(max(seq), 0) from events where fleet = ${arg('fleet')}) + 1 + one.key,
        one.value ->> 'type', one.value ->> 'site', ${now}, one.value ->> 'dedupe', one.value -> 'data'
      from json_each(${arg('events')}) as one where ${isCurrent}
      on conflict do nothing returning dedupe`),
    settled: compileSql<{ isCurrent: number; open_conflicts: number }>(sql`
      select ${isCurrent} as isCurrent,
        (select count(*) from documents where fleet = ${arg('fleet')} and kind = ${arg('kind')} and conflict = 1) as open_conflicts`),
  };
}
