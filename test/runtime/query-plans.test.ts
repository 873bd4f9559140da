import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signDocument, toWire } from '../../shared/contract/document.ts';
import type { Database, Statement } from '../../shared/ports/database.ts';
import { bootstrapEvent } from './events.cases.ts';
import { call, type Harness, heartbeat, register } from './harness.ts';
import { startOnNode } from './node-harness.ts';
import { uplinkEvent, uplinkNode } from './uplink.cases.ts';

/** Statements as they really ran, by the call that ran them. */
const ran = new Map<string, Statement[]>();
let label = '';
let harness: Harness;

const observe = (database: Database): Database => ({
  now: database.now,
  batch: (statements) => {
    ran.set(label, [...(ran.get(label) ?? []), ...statements]);
    return database.batch(statements);
  },
  close: () => database.close(),
});

const STATUS = {
  ...{ status: 'applied' as const, action: 'reconcile', generation: 1, hash: 'a'.repeat(64) },
  ...{ attempt: 1, duration_ms: 1, incompatible: [], age_ms: 0 },
};
const token = { 'bootplane-epoch': '1/a' };
const CALLS = {
  register: () => register(harness, 'a'),
  claim: () => call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } }),
  uplink: () =>
    call(harness, 'POST /v1/sites/uplink', {
      body: {
        ...{ node_id: 'a', url: 'http://a.test:1', epoch: 1, session: 's', seq: 1, full: true },
        ...{ nodes: [uplinkNode('a', { components: { storage: STATUS } })], gone: ['zzz'], events: [uplinkEvent(1)] },
      },
    }),
  heartbeat: () => call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') }),
  'fenced heartbeat': () => call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a'), headers: token }),
  heartbeats: () => call(harness, 'POST /v1/nodes/heartbeats', { body: { heartbeats: [heartbeat('a'), heartbeat('zzz')] } }),
  plan: () => call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'a' } }),
  leader: () => call(harness, 'GET /v1/leader'),
  report: () => call(harness, 'POST /v1/bootstrap/events', { body: bootstrapEvent('a'), headers: token }),
  status: () => call(harness, 'GET /v1/bootstrap/status'),
  events: () => call(harness, 'GET /v1/events?after=1'),
  'events of a site': () => call(harness, 'GET /v1/events?site=default'),
  node: () => call(harness, 'GET /v1/nodes/a'),
  nodes: () => call(harness, 'GET /v1/nodes?after=0'),
  'nodes of a site': () => call(harness, 'GET /v1/nodes?site=default'),
  state: () => call(harness, 'GET /v1/state'),
  history: () => call(harness, 'GET /v1/cluster/plan/history'),
  'a version': () => call(harness, 'GET /v1/cluster/plan/history/1'),
  publish: () => call(harness, 'PUT /v1/cluster/plan', { body: { services: [] }, headers: { 'if-match': '"0"' } }),
  versions: async () => {
    const meta = { generation: 2, epoch: 0, published_by: 'x', published_at: '2026-01-01T00:00:00.000Z' };
    const body = { services: [{ name: 'api', version: '1', command: ['run'] }] };
    const document = await signDocument(harness.keys.documents, { kind: 'plan', fleet: 'default', body, meta });
    const { generation, hash } = document.meta;
    await call(harness, 'POST /v1/cluster/plan/versions', { body: { versions: [toWire(document)], current: { generation, hash } } });
  },
  release: () => call(harness, 'POST /v1/leader/release', { body: { node_id: 'a', epoch: 1 } }),
  leave: () => call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'a' } }),
};

beforeAll(async () => {
  harness = await startOnNode({ wrap: observe });
  for (const [name, send] of Object.entries(CALLS)) {
    label = name;
    await send();
  }
  label = 'explain';
});
afterAll(() => harness.close());

async function plan({ sql, params }: Statement): Promise<string[]> {
  const [rows] = await harness.database.batch([{ sql: `explain query plan ${sql}`, params }]);
  return (rows ?? []).map(({ detail }) => String(detail));
}

describe('no call of a node or a front end reads a whole table', () => {
  it.each(Object.keys(CALLS))('%s', async (name) => {
    const statements = ran.get(name) ?? [];
    expect(statements.length).toBeGreaterThan(0);
    for (const statement of statements) {
      const steps = await plan(statement);
      const scans = steps.filter((step) => /^SCAN (nodes|leases|events|component_status|desired|documents|placements)\b/.test(step));
      expect(scans, statement.sql).toEqual([]);
      // All nodes of the fleet, once for each report: the planner does this when it is left the choice.
      const walks = steps.filter((step) => /^SEARCH (nodes|component_status) .*\(fleet=\?\)$/.test(step));
      expect(walks, statement.sql).toEqual([]);
      if (!statement.sql.includes('max(seq)')) expect(steps.filter((step) => /^SEARCH events .*\(fleet=\?\)$/.test(step))).toEqual([]);
    }
  });

  it('a page of a site walks that site only', async () => {
    const steps = await Promise.all((ran.get('nodes of a site') ?? []).map(plan));
    expect(steps.flat()).toContain('SEARCH nodes USING INDEX nodes_by_site (fleet=? AND site=? AND node_id>?)');
  });

  it('each heartbeat of a batch finds its node by the primary key', async () => {
    const [batch] = ran.get('heartbeats') ?? [];
    expect(batch?.sql).toContain('update nodes');
    const steps = batch === undefined ? [] : await plan(batch);
    expect(steps).toContain('SEARCH nodes USING PRIMARY KEY (fleet=? AND node_id=?)');
  });

  it('a heartbeat finds its node, its lease and the documents by their primary keys, in one statement', async () => {
    const statements = ran.get('fenced heartbeat') ?? [];
    expect(statements).toHaveLength(1);
    const steps = await Promise.all(statements.map(plan));
    expect(steps.flat().filter((step) => step.startsWith('SEARCH'))).toEqual([
      'SEARCH nodes USING PRIMARY KEY (fleet=? AND node_id=?)',
      'SEARCH leases USING PRIMARY KEY (fleet=? AND site=?)',
      'SEARCH leases USING PRIMARY KEY (fleet=? AND site=?)',
      'SEARCH desired USING PRIMARY KEY (fleet=? AND kind=?)',
      'SEARCH desired USING PRIMARY KEY (fleet=? AND kind=?)',
    ]);
  });
});
