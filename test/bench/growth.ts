import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Database } from '../../shared/ports/database.ts';
import { createSupervisor, type Supervisor } from '../../shared/supervisor/app.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { median, type Row, ratio } from './report.ts';

const FLEET_KEY = 'a fleet key for the bench only';
/** Nodes of each site: the one that is measured, and all those beside it. */
const SITE = 100;
const ROUNDS = 7;
/** Calls of a round, at once, as they arrive: concurrent writes share one commit. */
const CALLS = 200;

interface Registry {
  readonly size: number;
  readonly supervisor: Supervisor;
  close(): Promise<void>;
}

type Call = readonly [request: string, body?: object];

/** Of the site `site-0`, whatever else is there. */
const MEASURED: Readonly<Record<string, (index: number) => Call>> = {
  heartbeat: (index) => [
    'POST /v1/nodes/heartbeat',
    { node_id: nodeOf(index % SITE), role: 'worker', services_running: [], versions: {}, metrics: { sent: index } },
  ],
  'plan, unchanged': (index) => ['POST /v1/nodes/plan', { node_id: nodeOf(index % SITE) }],
  'renewal of a lease': () => ['POST /v1/leader/claim?site=site-0', { node_id: nodeOf(0), url: 'http://192.0.2.1:7420', epoch: 1 }],
  'who leads': () => ['GET /v1/leader?site=site-0'],
  'a page of the site': () => ['GET /v1/nodes?site=site-0&limit=20'],
  'state of the site': () => ['GET /v1/state?site=site-0'],
};

/**
 * `--sizes=1000,10000,100000`: how long a call about one site of 100 nodes takes while the registry of the fleet grows, on Node
 * and SQLite. The registries are open side by side and measured in turn, so that the ratio is of one run.
 */
export async function benchGrowth(flags: readonly string[]): Promise<Row[]> {
  const given = flags.find((flag) => flag.startsWith('--sizes='))?.slice('--sizes='.length) ?? '1000,10000,100000';
  const sizes = given.split(',').map(Number);
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-growth-'));
  const registries: Registry[] = [];
  try {
    for (const size of sizes) registries.push(await openRegistry(join(folder, `${size}.sqlite`), size));
    const rows: Row[] = [];
    for (const [name, call] of Object.entries(MEASURED)) rows.push(await measure(name, call, registries));
    return rows;
  } finally {
    for (const registry of registries) await registry.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(name: string, call: (index: number) => Call, registries: readonly Registry[]): Promise<Row> {
  const times = registries.map((): number[] => []);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [place, { supervisor }] of registries.entries()) {
      const began = performance.now();
      await Promise.all(Array.from({ length: CALLS }, (_, index) => send(supervisor, call(index))));
      // The first round warms up.
      if (round > 0) times[place]!.push(((performance.now() - began) / CALLS) * 1000);
    }
  }
  const each = registries.map(({ size }, place) => `${size.toLocaleString('en')}: ${Math.round(median(times[place]!))} µs`);
  return { what: name, figure: each.join(', '), ratio: ratio(times.at(-1)!, times[0]!), goal: 'the last to the first: 1' };
}

async function send(supervisor: Supervisor, [request, body]: Call): Promise<void> {
  const [method = 'GET', path = '/'] = request.split(' ');
  const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' };
  const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  const response = await supervisor.fetch(new Request(`http://bench.test${path}`, init));
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${request} answered ${response.status}`);
}

function nodeOf(index: number): string {
  return `node-${String(index).padStart(7, '0')}`;
}

async function openRegistry(path: string, size: number): Promise<Registry> {
  const database = openSqlite({ path, clock: systemClock, migrations: readMigrations('migrations') });
  const keys = await deriveFleetKeys('default', FLEET_KEY);
  const supervisor = createSupervisor({
    database,
    clock: systemClock,
    random: seededRandom(),
    log: recordingLog(),
    fleets: { default_fleet: 'default', keysOf: async () => keys },
    version: '0.0.0-bench',
    ttl_seconds: 3600,
  });
  await fill(database, size);
  await send(supervisor, ['POST /v1/leader/claim?site=site-0', { node_id: nodeOf(0), url: 'http://192.0.2.1:7420' }]);
  const plan = { services: [{ name: 'api', version: '1', command: ['run'], placement: { count: 3 } }] };
  const published = await supervisor.fetch(
    new Request('http://bench.test/v1/cluster/plan', {
      method: 'PUT',
      headers: { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json', 'if-match': '"0"' },
      body: JSON.stringify(plan),
    }),
  );
  if (!published.ok) throw new Error(`publishing answered ${published.status}: ${await published.text()}`);
  return { size, supervisor, close: () => database.close() };
}

/** Nodes that ran for a while, each with what it reported, and a lease in each site. */
async function fill(database: Database, size: number): Promise<void> {
  const numbers = `with recursive number (n) as (select 0 union all select n + 1 from number where n < ${size - 1})`;
  await database.batch([
    {
      sql: `insert into nodes (fleet, node_id, site, role, url, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
        ${numbers} select 'default', printf('node-%07d', n), 'site-' || (n / ${SITE}), 'worker', 'http://192.0.2.1:7420', 'host', '192.0.2.1', '["camera"]',
          '{"bootplane":"0.1.0","node":"24"}', '[]', '[{"name":"api","version":"1","state":"running","restarts":0}]', ${database.now}, ${database.now} from number`,
      params: [],
    },
    {
      sql: `insert into leases (fleet, site, node_id, url, epoch, expires_at, renewals)
        ${numbers} select 'default', 'site-' || (n / ${SITE}), printf('node-%07d', n), 'http://192.0.2.1:7420', 1, ${database.now} + 3600000, 9
          from number where n % ${SITE} = 0 and n > 0`,
      params: [],
    },
    {
      sql: `insert into component_status (fleet, node_id, component, status, action, generation, hash, attempt, duration_ms, incompatible, at, seq)
        ${numbers} select 'default', printf('node-%07d', n), 'services', 'applied', 'reconcile', 1, '', 1, 5, '[]', ${database.now}, n from number`,
      params: [],
    },
    {
      sql: `insert into events (fleet, seq, type, site, node_id, at, dedupe, data)
        ${numbers} select 'default', n + 1, 'overlay.register', 'site-' || (n / ${SITE}), printf('node-%07d', n), ${database.now}, 'e' || n, '{}' from number`,
      params: [],
    },
  ]);
}
