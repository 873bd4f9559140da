import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Statement } from '../../shared/ports/database.ts';
import { startOnNode } from './node-harness.ts';

const compiled = vi.hoisted(() => new Map<string, (values: Readonly<Record<string, null>>) => unknown>());
vi.mock('../../shared/supervisor/store/sql.ts', async (original) => {
  const real = await original<typeof import('../../shared/supervisor/store/sql.ts')>();
  const compileSql: typeof real.compileSql = (query, ...tables) => {
    const prepared = real.compileSql<never>(query, ...tables);
    compiled.set(prepared.sql, prepared.bind);
    return prepared;
  };
  return { ...real, compileSql };
});

const STORES = new URL('../../shared/supervisor/store/', import.meta.url);
/** What any of the stores takes beside the database: an object, or the TTL alone. */
const OPTIONS = {
  ...{ ttl_seconds: 15, unwritten_share: 0.7, lost_ms: 1, left_ms: 1, events_ms: 1, events: 1, kept: 1, kept_ms: 1, waiting: 1 },
  valueOf: () => 15,
};

let harness: Awaited<ReturnType<typeof startOnNode>>;
beforeAll(async () => {
  harness = await startOnNode();
  for (const file of readdirSync(STORES)) {
    const module: Record<string, unknown> = await import(new URL(file, STORES).pathname);
    for (const [name, create] of Object.entries(module)) {
      if (/^create\w+Store$/.test(name) && typeof create === 'function') create(harness.database, OPTIONS);
    }
  }
});
afterAll(() => harness.close());

/** Statements that read more than a site, or a page of a fleet, and why they may. Each stands for the one that holds its words. */
const MAY_READ_ALL: readonly (readonly [words: string, step: RegExp])[] = [
  // The sweep, in the background: bounded by how often it runs (`countIntervalMs`, the hourly trigger of a Worker).
  ['as writers from nodes', /^SCAN nodes$/],
  ['as writers from leases', /^SCAN leases$/],
  ["iif(left_at is null, 'lost', 'left') as reason from nodes", /^SCAN nodes$/],
  ['delete from issued_keys where', /^SCAN issued_keys$/],
  ['select fleet, key_id from issued_keys where', /^SCAN issued_keys$/],
  // The names of all fleets, one look for each: `fleets` is that list here, and no table.
  ['with recursive fleets (name)', /^SCAN fleets$/],
  // What Prometheus asks of a fleet, sums them up.
  ['as "left"', /^SEARCH nodes USING PRIMARY KEY \(fleet=\?\)$/],
  ['from leases where fleet = ?', /^SEARCH leases USING PRIMARY KEY \(fleet=\?\)$/],
];

/** Reads of a whole fleet that are of a bounded number of rows: two documents, one row of a fleet, the end of a log. */
const SMALL = [
  /^SEARCH (desired|pace|outbox|fleets) USING PRIMARY KEY \(fleet=\?\)$/,
  /^SEARCH documents USING COVERING INDEX open_conflicts \(fleet=\?\)$/,
];
const END_OF_LOG = /(max|min)\(seq\)|order by seq/;
const TABLES =
  'nodes|leases|events|component_status|desired|documents|placements|emergencies|outbox|pace|fleets|issued_keys|join_uses|events_by_dedupe|nodes_by_site';

async function wideSteps(sql: string, bind: (values: Readonly<Record<string, null>>) => unknown): Promise<string[]> {
  const { params } = bind(new Proxy({}, { get: () => null })) as Statement;
  const [rows] = await harness.database.batch([{ sql: `explain query plan ${sql}`, params }]);
  const steps = (rows ?? []).map(({ detail }) => String(detail));
  return steps.filter((step) => {
    const isWide = new RegExp(`^SCAN (${TABLES})\\b`).test(step) || /^SEARCH .*\(fleet=\?\)$/.test(step);
    if (!isWide || SMALL.some((small) => small.test(step))) return false;
    if (/^SEARCH events .*\(fleet=\?\)$/.test(step) && END_OF_LOG.test(sql)) return false;
    return !MAY_READ_ALL.some(([words, allowed]) => sql.includes(words) && allowed.test(step));
  });
}

describe('every statement of the Supervisor, as it was compiled', () => {
  it('finds its rows by the whole key, or walks one site, or a page of a fleet', async () => {
    const wide: string[] = [];
    for (const [sql, bind] of compiled) {
      const steps = await wideSteps(sql, bind);
      if (steps.length > 0) wide.push(`${steps.join(', ')}: ${sql.replaceAll(/\s+/g, ' ').trim()}`);
    }
    expect(wide).toEqual([]);
    expect(compiled.size).toBeGreaterThan(90);
  });

  it('has no exception that nothing needs', () => {
    const all = [...compiled.keys()];
    expect(MAY_READ_ALL.map(([words]) => words).filter((words) => !all.some((sql) => sql.includes(words)))).toEqual([]);
  });
});
