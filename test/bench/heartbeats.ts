import { createClient } from '../../shared/client.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { type ChildServer, startServer } from '../support/child-server.ts';
import { type LoadResult, load, rawRequest } from './load.ts';
import { median, type Row, ratio } from './report.ts';

const NODES = 1000;
const CONNECTIONS = 256;
const SECONDS = 2;
const ROUNDS = 5;
const BATCH = 500;

interface Node {
  readonly node_id: string;
  readonly credential: string;
}

/** Heartbeats through HTTP, auth, validation and a durable write, in turn with a bare handler that parses and answers JSON. */
export async function benchHeartbeats(): Promise<Row[]> {
  const bare = await startServer('test/bench/bare-server.ts');
  const supervisor = await startServer('test/support/supervisor-server.ts');
  try {
    const nodes = await registerNodes(supervisor);
    const single = nodes.map((node) => heartbeatOf(node));
    const batches = Array.from({ length: nodes.length / BATCH }, (_, index) =>
      batchOf(supervisor, nodes.slice(index * BATCH, (index + 1) * BATCH)),
    );
    const echo = rawRequest('POST', '/', { 'content-type': 'application/json' }, JSON.stringify(bodyOf(nodes[0]!)));
    const figures = { bare: [] as number[], single: [] as number[], batch: [] as number[] };
    for (let round = 0; round <= ROUNDS; round += 1) {
      const [bareRate, singleRate, batchRate] = [
        await rate(bare, '200', () => echo),
        await rate(supervisor, '204', (index) => single[index % single.length]!),
        await rate(supervisor, '200', (index) => batches[index % batches.length]!, 8),
      ];
      // The first round warms both up.
      if (round === 0) continue;
      figures.bare.push(bareRate);
      figures.single.push(singleRate);
      figures.batch.push(batchRate * BATCH);
    }
    return [
      { what: 'bare Hono, POST JSON', figure: `${Math.round(median(figures.bare))} /s` },
      {
        what: 'heartbeat, durable',
        figure: `${Math.round(median(figures.single))} /s`,
        ratio: ratio(figures.single, figures.bare),
        goal: '0.6, aim 0.7 of the bare handler',
      },
      { what: `heartbeats in batches of ${BATCH}`, figure: `${Math.round(median(figures.batch))} nodes/s`, goal: 'aim 100000 nodes/s' },
    ];
  } finally {
    await Promise.all([bare.stop(), supervisor.stop()]);
  }
}

async function registerNodes({ ready }: ChildServer): Promise<Node[]> {
  const key = String(ready.fleet_key);
  const keys = await deriveFleetKeys('default', key);
  const client = createClient({ url: `http://127.0.0.1:${ready.port}`, credential: key });
  const ids = Array.from({ length: NODES }, (_, index) => `bench-node-${index}`);
  for (const node_id of ids)
    await client.register({ node_id, capabilities: [], host: node_id, ip: '127.0.0.1', versions: { bootplane: '0.1.0' } });
  return Promise.all(ids.map(async (node_id) => ({ node_id, credential: await keys.nodeCredential(node_id) })));
}

function bodyOf({ node_id }: Node) {
  const services_running = [{ name: 'hello', version: '1.0.0', state: 'running', restarts: 0 }];
  return { node_id, role: 'worker', services_running, versions: { bootplane: '0.1.0', node: '24' }, metrics: { uptime_seconds: 12 } };
}

function heartbeatOf(node: Node): Buffer {
  return rawRequest(
    'POST',
    '/v1/nodes/heartbeat',
    { 'content-type': 'application/json', authorization: `Bearer ${node.credential}` },
    JSON.stringify(bodyOf(node)),
  );
}

function batchOf({ ready }: ChildServer, nodes: readonly Node[]): Buffer {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${ready.fleet_key}` };
  return rawRequest('POST', '/v1/nodes/heartbeats', headers, JSON.stringify({ heartbeats: nodes.map(bodyOf) }));
}

async function rate(server: ChildServer, status: string, next: (index: number) => Buffer, connections = CONNECTIONS): Promise<number> {
  const result: LoadResult = await load(server.ready.port, connections, SECONDS, next);
  if (result.statuses[status] !== result.requests) throw new Error(`expected only ${status}, got ${JSON.stringify(result.statuses)}`);
  return result.perSecond;
}
