import { createScheduledController } from 'cloudflare:test';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bindings } from '../../../functions/compose.ts';
import worker from '../../../functions/worker.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { bootstrapEvent } from '../events.cases.ts';
import { FLEET_KEY, heartbeat, registration } from '../harness.ts';
import { uplinkNode } from '../uplink.cases.ts';
import { bindings, freshD1 } from './harness.ts';

/**
 * What one call costs in D1, as D1 itself counts it. `batches`: round trips. `rows_read`, `rows_written`: as D1 bills them, index
 * rows included. Not counted is what an isolate looks up once and remembers (keys of a fleet, a verified document): each
 * call that is counted follows one of its kind.
 */
interface Cost {
  batches: number;
  statements: number;
  rows_read: number;
  rows_written: number;
}

const NODES = 20;
const counted = new Map<string, Cost>();
const nothing = (): Cost => ({ batches: 0, statements: 0, rows_read: 0, rows_written: 0 });
let cost = nothing();

function counting(d1: D1Database): D1Database {
  const batch = async <T>(statements: D1PreparedStatement[]) => {
    const results = await d1.batch<T>(statements);
    cost.batches += 1;
    cost.statements += statements.length;
    for (const { meta } of results) {
      cost.rows_read += meta.rows_read;
      cost.rows_written += meta.rows_written;
    }
    return results;
  };
  return Object.assign(Object.create(d1), { prepare: d1.prepare.bind(d1), batch });
}

let given: Bindings;

async function call(request: string, body?: unknown, more: Record<string, string> = {}) {
  const [method = 'GET', path = '/'] = request.split(' ');
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json', ...more };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await worker.fetch(new Request(`http://worker.test${path}`, init) as Parameters<typeof worker.fetch>[0], given);
  const text = await response.text();
  if (response.status >= 500) throw new Error(`${request} answered ${response.status}: ${text}`);
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

async function count(name: string, wanted: number, work: () => Promise<{ status: number }>): Promise<void> {
  cost = nothing();
  const { status } = await work();
  counted.set(name, cost);
  cost = nothing();
  expect(status, name).toBe(wanted);
}

const claim = (node_id: string, more: object = {}) => call('POST /v1/leader/claim', { node_id, url: `http://${node_id}.test:1`, ...more });
const register = (node_id: string, site = 'default') => call('POST /v1/nodes/register', registration(node_id, { site }));
const beat = (node_id: string, more: object = {}, headers = {}) =>
  call('POST /v1/nodes/heartbeat', heartbeat(node_id, { ...more }), headers);
const plan = (node_id: string) => call('POST /v1/nodes/plan', { node_id });
const uplink = (seq: number, more: object = {}) =>
  call('POST /v1/sites/uplink', { node_id: 'default-0', url: 'http://default-0.test:1', epoch: 1, session: 's1', seq, ...more });
const introspect = (token: string) => {
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' };
  const request = new Request('https://worker.test/v1/introspect', { method: 'POST', headers, body: JSON.stringify({ token }) });
  return worker.fetch(request as Parameters<typeof worker.fetch>[0], given);
};
const report = (node_id: string, idempotency_key: string) =>
  call('POST /v1/bootstrap/events', bootstrapEvent(node_id, { idempotency_key, attempt: 1, generation: 1 }));

beforeAll(async () => {
  await freshD1();
  given = { DB: counting(bindings.DB), BOOTPLANE_API_KEY: FLEET_KEY };
  // Another site as large as this one, which no call of this one may read.
  for (let n = 0; n < NODES; n += 1) for (const site of ['default', 'other']) await register(`${site}-${n}`, site);
  const services = [{ name: 'api', version: '1', command: ['run'], placement: { count: 2 } }];
  await call('PUT /v1/cluster/plan', { services }, { 'if-match': '"0"' });
  await call('PUT /v1/bootstrap/profile', { storage: { buckets: [{ name: 'captures' }] } }, { 'if-match': '"0"' });
  await count('claim: granted', 200, () => claim('default-0'));
  await count('claim: renewed', 200, () => claim('default-0', { epoch: 1 }));
  await count('claim: lost', 200, () => claim('default-1'));
  await call('POST /v1/leader/claim?site=other', { node_id: 'other-0', url: 'http://other-0.test:1' });
  const token = { 'bootplane-epoch': '1/default-0' };
  await count('plan: services are placed', 200, () => plan('default-1'));
  await count('plan: unchanged', 200, () => plan('default-1'));
  await count('plan: of another node', 200, () => plan('default-2'));
  await count('heartbeat: news', 204, () => beat('default-1', { versions: { bootplane: '0.2.0' } }));
  await count('heartbeat: unchanged', 204, () => beat('default-1', { versions: { bootplane: '0.2.0' } }));
  await count('heartbeat: fenced', 204, () => beat('default-2', {}, token));
  await count('heartbeat: of a stale leader', 409, () => beat('default-1', {}, { 'bootplane-epoch': '0/default-9' }));
  const batch = Array.from({ length: 10 }, (_, n) => heartbeat(`default-${n}`));
  await count('heartbeats: 10 in a batch', 200, () => call('POST /v1/nodes/heartbeats?site=default', { heartbeats: batch }));
  const nodes = Array.from({ length: NODES }, (_, n) => uplinkNode(`default-${n}`));
  await uplink(1, { full: true, nodes });
  await count('uplink: nothing new', 200, () => uplink(2));
  await count('uplink: a node changed', 200, () => uplink(3, { nodes: [uplinkNode('default-3', { role: 'proxy' })] }));
  await count('uplink: all nodes anew', 200, () => uplink(1, { session: 's2', full: true, nodes }));
  await report('default-1', 'c'.repeat(64));
  await count('event: reported', 202, () => report('default-1', 'd'.repeat(64)));
  await count('event: repeated', 202, () => report('default-1', 'd'.repeat(64)));
  const { etag } = Object.fromEntries((await call('GET /v1/bootstrap/profile')).headers);
  await count('profile', 200, () => call('GET /v1/bootstrap/profile'));
  await count('profile: not modified', 304, () => call('GET /v1/bootstrap/profile', undefined, { 'if-none-match': etag ?? '' }));
  await count('leader', 200, () => call('GET /v1/leader'));
  await count('node', 200, () => call('GET /v1/nodes/default-1'));
  await count('nodes: a page of 10', 200, () => call('GET /v1/nodes?site=default&limit=10'));
  await count('events: nothing new', 200, () => call('GET /v1/events?after=1000000'));
  await count('events: the last 50', 200, () => call('GET /v1/events?last=50&site=default'));
  await count('state of a site', 200, () => call('GET /v1/state?site=default'));
  const { nodeCredential } = await deriveFleetKeys('default', FLEET_KEY);
  const { key } = (await call('POST /v1/keys', { scope: 'node', node_id: 'default-1' })).body;
  await count('introspect: derived', 200, async () => introspect(await nodeCredential('default-1')));
  await count('introspect: an issued key', 200, () => introspect(key));
  await count('introspect: forged', 200, () => introspect('bpn~default~default-1~AAAA'));
  await count('register: a new node', 200, () => register('late'));
  await count('register: again', 200, () => register('late'));
  await count('leave', 204, () => call('POST /v1/nodes/leave', { node_id: 'late' }));
  await count('release', 204, () => call('POST /v1/leader/release', { node_id: 'default-0', epoch: 1 }));
  await count('housekeeping: nothing to do', 200, async () => {
    await worker.scheduled(createScheduledController({ scheduledTime: new Date('2026-01-01T03:00:00Z') }), given);
    return { status: 200 };
  });
  await count('healthz', 200, () => call('GET /healthz'));
  await count('readyz', 200, () => call('GET /readyz'));
});
afterAll(freshD1);

/** At most. Rows that are read count less than a tenth of one that is written: their limits are for what must not grow with the site. */
const LIMITS: Readonly<Record<string, Cost>> = {
  'claim: granted': { batches: 1, statements: 6, rows_read: 20, rows_written: 4 },
  'claim: renewed': { batches: 1, statements: 6, rows_read: 20, rows_written: 1 },
  'claim: lost': { batches: 1, statements: 6, rows_read: 20, rows_written: 0 },
  'plan: services are placed': { batches: 4, statements: 10, rows_read: 15 * NODES, rows_written: 1 },
  'plan: unchanged': { batches: 1, statements: 4, rows_read: 20, rows_written: 0 },
  'plan: of another node': { batches: 1, statements: 4, rows_read: 20, rows_written: 0 },
  'heartbeat: news': { batches: 1, statements: 2, rows_read: 20, rows_written: 1 },
  'heartbeat: unchanged': { batches: 1, statements: 2, rows_read: 20, rows_written: 0 },
  'heartbeat: fenced': { batches: 1, statements: 2, rows_read: 24, rows_written: 1 },
  'heartbeat: of a stale leader': { batches: 3, statements: 5, rows_read: 30, rows_written: 0 },
  'heartbeats: 10 in a batch': { batches: 2, statements: 5, rows_read: 200, rows_written: 10 },
  'uplink: nothing new': { batches: 1, statements: 12, rows_read: 30, rows_written: 1 },
  'uplink: a node changed': { batches: 1, statements: 12, rows_read: 60, rows_written: 3 },
  'uplink: all nodes anew': { batches: 1, statements: 12, rows_read: 40 * NODES, rows_written: 1 + NODES },
  'event: reported': { batches: 2, statements: 4, rows_read: 30, rows_written: 3 },
  'event: repeated': { batches: 2, statements: 4, rows_read: 30, rows_written: 0 },
  profile: { batches: 1, statements: 3, rows_read: 6, rows_written: 0 },
  'profile: not modified': { batches: 1, statements: 3, rows_read: 6, rows_written: 0 },
  leader: { batches: 1, statements: 2, rows_read: 6 * NODES, rows_written: 0 },
  node: { batches: 1, statements: 2, rows_read: 8, rows_written: 0 },
  'nodes: a page of 10': { batches: 1, statements: 2, rows_read: 80, rows_written: 0 },
  'events: nothing new': { batches: 1, statements: 1, rows_read: 2, rows_written: 0 },
  'events: the last 50': { batches: 1, statements: 1, rows_read: 60, rows_written: 0 },
  'state of a site': { batches: 5, statements: 12, rows_read: 40 * NODES, rows_written: 0 },
  'introspect: derived': { batches: 0, statements: 0, rows_read: 0, rows_written: 0 },
  'introspect: an issued key': { batches: 1, statements: 2, rows_read: 4, rows_written: 1 },
  'introspect: forged': { batches: 0, statements: 0, rows_read: 0, rows_written: 0 },
  'register: a new node': { batches: 2, statements: 3, rows_read: 12, rows_written: 4 },
  'register: again': { batches: 2, statements: 3, rows_read: 14, rows_written: 4 },
  leave: { batches: 2, statements: 3, rows_read: 12, rows_written: 3 },
  release: { batches: 2, statements: 3, rows_read: 8, rows_written: 1 },
  // All nodes of the database, nothing of the events but their ends, and the pace of the write budget, which is one row.
  'housekeeping: nothing to do': { batches: 8, statements: 12, rows_read: 8 * NODES, rows_written: 1 },
  healthz: { batches: 0, statements: 0, rows_read: 0, rows_written: 0 },
  readyz: { batches: 1, statements: 1, rows_read: 20, rows_written: 0 },
};

describe('what each call costs in D1', () => {
  it('is counted for all of them', () => {
    const lines = [...counted].map(([name, { batches, statements, rows_read, rows_written }]) =>
      [name.padEnd(30), ...[batches, statements, rows_read, rows_written].map((number) => String(number).padStart(6))].join(''),
    );
    // biome-ignore lint/suspicious/noConsole: the table is what a reader of this run wants
    console.log(`${'call'.padEnd(30)} batch  stmts  read written\n${lines.join('\n')}`);
    expect([...counted.keys()]).toEqual(Object.keys(LIMITS));
  });

  it.each(Object.entries(LIMITS))('%s', (name, limits) => {
    const found = counted.get(name);
    const over = Object.entries(limits).filter(([figure, most]) => (found?.[figure as keyof Cost] ?? Number.NaN) > most);
    expect(over, `${name} cost ${JSON.stringify(found)}`).toEqual([]);
  });
});
