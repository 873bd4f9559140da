import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { getPlatformProxy } from 'wrangler';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { UNWRITTEN_SHARE } from '../../shared/decide/stretch.ts';
import { createSupervisor, type Supervisor } from '../../shared/supervisor/app.ts';
import type { CountedDatabase, RowCounts } from '../runtime/row-counts.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import type { Row } from './report.ts';

const FLEET_KEY = 'a fleet key for the bench only';
const SITES = [1, 10, 100];
const DAY_SECONDS = 86_400;
const MONTH_DAYS = 30;

/** Calls of one TTL, on average, as `test/unit/discovery/cloud-calls.test.ts` counts them on real nodes. */
const CALLS = {
  site: { uplink: 10 / 3, history: 0.5 },
  node: { heartbeat: 10 / 3, plan: 0.25, profile: 0.25, history: 0.5, leader: 0.25 },
} as const;
/** Of the heartbeats with nothing new, those that are written: every third. */
const WRITTEN = 1 / 3;

/** What Workers and D1 give, as their public pages said in October 2026 (`docs/cost.md`). */
const FREE_A_DAY = { requests: 100_000, read: 5_000_000, written: 100_000 };
const PAID_A_MONTH = { requests: 10_000_000, read: 25_000_000_000, written: 50_000_000 };

interface Cost {
  readonly requests: number;
  readonly read: number;
  readonly written: number;
}

interface Measured {
  readonly site: Readonly<Record<number, Cost>>;
  readonly node: Cost;
}

/**
 * What sites and nodes cost on Workers and D1: each call is made on a local D1 (workerd's own), which counts the rows as
 * the real one bills them, index rows too; how often it comes is counted elsewhere, on nodes in simulated time.
 */
export async function benchCost(flags: readonly string[]): Promise<Row[]> {
  const ttls = (flags.find((flag) => flag.startsWith('--ttls='))?.slice('--ttls='.length) ?? '15,60,300,600').split(',').map(Number);
  const state = await mkdtemp(join(tmpdir(), 'bootplane-cost-'));
  try {
    const { calls, measured } = await withLocalD1(state, measure);
    return [...calls, ...ttls.flatMap((ttl) => perMonth(measured, ttl)), ...ttls.flatMap((ttl) => howMany(measured, ttl))];
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

/** Of the Worker's part of the code, which has types of its own. */
const COUNTING = new URL('../runtime/workerd/count-rows.ts', import.meta.url).href;

async function withLocalD1<T>(state: string, work: (counted: CountedDatabase) => Promise<T>): Promise<T> {
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: '1' };
  const persist = ['--local', '--persist-to', state];
  await promisify(execFile)(process.execPath, ['node_modules/wrangler/bin/wrangler.js', 'd1', 'migrations', 'apply', 'DB', ...persist], {
    env,
  });
  const proxy = await getPlatformProxy<{ DB: unknown }>({ configPath: 'wrangler.toml', persist: { path: join(state, 'v3') } });
  try {
    const { countingD1 }: { countingD1(d1: unknown): CountedDatabase } = await import(COUNTING);
    return await work(countingD1(proxy.env.DB));
  } finally {
    await proxy.dispose();
  }
}

async function measure({ database, counts, reset }: CountedDatabase): Promise<{ calls: Row[]; measured: Measured }> {
  const keys = await deriveFleetKeys('default', FLEET_KEY);
  const supervisor = createSupervisor({
    database,
    clock: systemClock,
    random: seededRandom(),
    log: recordingLog(),
    fleets: { default_fleet: 'default', keysOf: async () => keys },
    version: '0.0.0-bench',
    ttl_seconds: 3600,
    unwritten_share: UNWRITTEN_SHARE,
  });
  const calls: Row[] = [];
  const count = async (what: string, act: () => Promise<void>): Promise<Cost> => {
    reset();
    await act();
    calls.push({ what, figure: told(counts) });
    return { requests: 1, read: counts.read, written: counts.written };
  };
  await publish(supervisor);
  const history = {
    plan: await countTwice(count, 'versions of the plan', () => send(supervisor, 'GET /v1/cluster/plan/history')),
    profile: await countTwice(count, 'versions of the profile', () => send(supervisor, 'GET /v1/bootstrap/profile/history')),
  };
  const histories = mean([history.plan, history.profile]);
  const site: Record<number, Cost> = {};
  for (const size of SITES) {
    const uplink = await openSite(supervisor, `site-${size}`, size);
    const renewal = await count(`uplink of a site of ${size}, nothing new`, () => uplink([]));
    await count(`the same, a node has changed`, () => uplink([0]));
    site[size] = sum([times(renewal, CALLS.site.uplink), times(histories, CALLS.site.history)]);
  }
  const silence = async () => {
    await database.batch([{ sql: "update nodes set heard_at = 0 where node_id = 'site-10-1'", params: [] }]);
  };
  const node = await measureNode(supervisor, count, histories, silence);
  return { calls, measured: { site, node } };
}

type Count = (what: string, act: () => Promise<void>) => Promise<Cost>;

/** What is remembered after the first time is not counted. */
async function countTwice(count: Count, what: string, act: () => Promise<void>): Promise<Cost> {
  await act();
  return count(what, act);
}

/** A node out of reach of its leader, which calls the cloud itself. */
async function measureNode(supervisor: Supervisor, count: Count, histories: Cost, silence: () => Promise<void>): Promise<Cost> {
  const node_id = 'site-10-1';
  const beat = (more: object = {}) =>
    send(supervisor, 'POST /v1/nodes/heartbeat', { node_id, role: 'worker', services_running: [], versions: {}, ttl_seconds: 15, ...more });
  await beat();
  const unwritten = await count('heartbeat, nothing new', beat);
  await count('heartbeat, a service has changed', () => beat({ services_running: [{ name: 'api', version: '1', state: 'running' }] }));
  await beat();
  await silence();
  const written = await count('heartbeat, nothing new, its share of the TTL is over', beat);
  const plan = await countTwice(count, 'plan, unchanged', () => send(supervisor, 'POST /v1/nodes/plan', { node_id }));
  const profile = await countTwice(count, 'profile', () => send(supervisor, 'GET /v1/bootstrap/profile'));
  const leader = await count('who leads', () => send(supervisor, 'GET /v1/leader?site=site-10'));
  const heartbeat = sum([times(written, WRITTEN), times(unwritten, 1 - WRITTEN)]);
  const of = CALLS.node;
  return sum([
    times(heartbeat, of.heartbeat),
    times(plan, of.plan),
    times(profile, of.profile),
    times(histories, of.history),
    times(leader, of.leader),
  ]);
}

async function publish(supervisor: Supervisor): Promise<void> {
  const services = [{ name: 'api', version: '1', command: ['run'], placement: { count: 2 } }];
  await send(supervisor, 'PUT /v1/cluster/plan', { services }, { 'if-match': '"0"' });
  await send(supervisor, 'PUT /v1/bootstrap/profile', { storage: { buckets: [{ name: 'captures' }] } }, { 'if-match': '"0"' });
}

/** A site whose leader has told the cloud of all its nodes; what it calls from then on, naming the nodes that have changed. */
async function openSite(supervisor: Supervisor, site: string, size: number): Promise<(changed: readonly number[]) => Promise<void>> {
  const url = 'http://192.0.2.1:7420';
  const leader = `${site}-0`;
  await send(supervisor, 'POST /v1/nodes/register', {
    node_id: leader,
    site,
    capabilities: [],
    host: leader,
    ip: '192.0.2.1',
    versions: {},
  });
  await send(supervisor, `POST /v1/leader/claim?site=${site}`, { node_id: leader, url });
  let seq = 0;
  const node = (index: number, versions: Record<string, string>) => {
    const node_id = `${site}-${index}`;
    return { node_id, role: 'worker', capabilities: [], host: node_id, ip: '192.0.2.1', versions, services_running: [], registered_ms: 0 };
  };
  const tell = (more: object) => {
    seq += 1;
    return send(supervisor, 'POST /v1/sites/uplink', { node_id: leader, url, site, epoch: 1, session: 's1', seq, ...more });
  };
  await tell({ full: true, nodes: Array.from({ length: size }, (_, index) => node(index, {})) });
  return (changed) => tell(changed.length === 0 ? {} : { nodes: changed.map((index) => node(index, { bootplane: String(seq) })) });
}

async function send(supervisor: Supervisor, request: string, body?: object, more: Record<string, string> = {}): Promise<void> {
  const [method = 'GET', path = '/'] = request.split(' ');
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json', ...more };
  const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  const response = await supervisor.fetch(new Request(`http://bench.test${path}`, init));
  const text = await response.text();
  if (!response.ok) throw new Error(`${request} answered ${response.status}: ${text}`);
}

function told({ batches, statements, read, written }: RowCounts): string {
  return `${batches} batch${batches === 1 ? '' : 'es'}, ${statements} statements, ${read} rows read, ${written} written`;
}

function perMonth({ site, node }: Measured, ttl: number): Row[] {
  const month = (cost: Cost) => times(cost, (MONTH_DAYS * DAY_SECONDS) / ttl);
  const line = (what: string, cost: Cost): Row => {
    const { requests, read, written } = month(cost);
    return {
      what: `${what}, TTL ${ttl} s, a month`,
      figure: `${thousands(requests)} requests, ${thousands(read)} rows read, ${thousands(written)} written`,
    };
  };
  return [...SITES.map((size) => line(`a site of ${size}`, site[size]!)), line('a node that calls the cloud itself', node)];
}

function howMany({ site, node }: Measured, ttl: number): Row[] {
  const fits = (cost: Cost, given: Cost, seconds: number) => {
    const used = times(cost, seconds / ttl);
    const shares = (['requests', 'read', 'written'] as const).map((what) => [what, given[what] / used[what]] as const);
    const [what, most] = shares.reduce((least, one) => (one[1] < least[1] ? one : least));
    return `${Math.floor(most).toLocaleString('en')} (${what})`;
  };
  const line = (what: string, cost: Cost): Row => ({
    what: `${what}, TTL ${ttl} s`,
    figure: `free: ${fits(cost, FREE_A_DAY, DAY_SECONDS)}; paid, included: ${fits(cost, PAID_A_MONTH, MONTH_DAYS * DAY_SECONDS)}`,
  });
  return [
    ...SITES.map((size) => line(`how many sites of ${size}`, site[size]!)),
    line('how many nodes that call the cloud themselves', node),
  ];
}

function thousands(number: number): string {
  return Math.round(number).toLocaleString('en');
}

function times({ requests, read, written }: Cost, factor: number): Cost {
  return { requests: requests * factor, read: read * factor, written: written * factor };
}

function sum(costs: readonly Cost[]): Cost {
  return costs.reduce((all, one) => ({
    requests: all.requests + one.requests,
    read: all.read + one.read,
    written: all.written + one.written,
  }));
}

function mean(costs: readonly Cost[]): Cost {
  return times(sum(costs), 1 / costs.length);
}
