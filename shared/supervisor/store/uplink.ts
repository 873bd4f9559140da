import type { UplinkNode } from '../../contract/uplink.ts';
import type { Database } from '../../ports/database.ts';
import type { Current } from '../current.ts';
import type { EventRow } from './events.ts';
import { compileUplinkQueries } from './uplink-sql.ts';

/** A call of a leader, checked. */
export interface Uplink {
  readonly fleet: string;
  readonly site: string;
  readonly node_id: string;
  readonly instance_id: string | null;
  readonly url: string;
  readonly epoch: number;
  readonly session: string;
  readonly seq: number;
  readonly full: boolean;
  readonly nodes: readonly UplinkNode[];
  readonly gone: readonly string[];
  readonly events: readonly UplinkedEvent[];
}

/** An event of a site with the key under which it counts once. */
export interface UplinkedEvent extends Pick<EventRow, 'type' | 'dedupe' | 'data'> {
  readonly node_id?: string;
  readonly age_ms: number;
}

/** The lease was renewed. */
export interface Renewed {
  readonly current: Current;
  readonly epoch: number;
  readonly expires_at: number;
  readonly expires_in_ms: number;
  /** False when the session is not known here, or a call before this one is missing: then nothing else was done. */
  readonly taken: boolean;
  /** The registry has another instance of the sender. */
  readonly hasOther: boolean;
  /** The keys of the events that are new. */
  readonly written: ReadonlySet<string>;
}

export type UplinkStore = ReturnType<typeof createUplinkStore>;

export function createUplinkStore(database: Database, ttl_seconds: number) {
  const queries = compileUplinkQueries(database, ttl_seconds);
  return {
    /**
     * One batch, judged by the database's clock. Writes one row, the lease, and one for each thing that has changed; a
     * repetition changes nothing more. Undefined when the caller does not hold the lease at that epoch: then nothing was written.
     */
    async take({ nodes, gone, events, full, ...call }: Uplink): Promise<Renewed | undefined> {
      const values = {
        ...call,
        full: full ? 1 : 0,
        nodes: JSON.stringify(nodes),
        gone: JSON.stringify(gone),
        events: JSON.stringify(events),
      };
      const hasStatus = nodes.some(({ components }) => components !== undefined);
      const results = await database.batch([
        ...(full ? [queries.hush.bind(values)] : []),
        queries.renew.bind(values),
        ...(nodes.length === 0 ? [] : [queries.changed.bind(values), queries.added.bind(values)]),
        ...(hasStatus ? [queries.components.bind(values)] : []),
        ...(gone.length === 0 ? [] : [queries.gone.bind(values)]),
        ...(events.length === 0 ? [] : [queries.events.bind(values)]),
      ]);
      const [renewed] = queries.renew.read(results[full ? 1 : 0]);
      if (renewed === undefined) return undefined;
      const { taken, other, leader, plan, profile, ...lease } = renewed;
      const written = events.length === 0 ? [] : queries.events.read(results.at(-1));
      const current = { leader, plan, profile };
      return { ...lease, current, taken: taken === 1, hasOther: other === 1, written: new Set(written.map(({ dedupe }) => dedupe)) };
    },
    /** The other instance of the node is silent: the next that its leader says of it counts. */
    async reclaim(fleet: string, site: string, node_id: string): Promise<void> {
      await database.batch([queries.reclaim.bind({ fleet, site, node_id })]);
    },
  };
}
