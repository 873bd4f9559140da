import { createClient } from '../../shared/client.ts';
import { type ChildServer, startServer } from '../support/child-server.ts';
import { load, rawRequest } from './load.ts';
import { median, type Row } from './report.ts';

const NODES = 200;
const CONNECTIONS = 64;
const SECONDS = 2;
const ROUNDS = 3;

/** Claims of one lease by many nodes, and of many leases by one node each. */
export async function benchClaims(): Promise<Row[]> {
  const supervisor = await startServer('test/support/supervisor-server.ts');
  try {
    const ids = await registerNodes(supervisor);
    const contended = ids.map((node_id) => claim(supervisor, node_id, 'default'));
    const alone = ids.map((node_id, index) => claim(supervisor, node_id, `site-${index}`));
    const figures = { contended: [] as number[], alone: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      figures.contended.push((await load(supervisor.ready.port, CONNECTIONS, SECONDS, (index) => contended[index % NODES]!)).perSecond);
      figures.alone.push((await load(supervisor.ready.port, CONNECTIONS, SECONDS, (index) => alone[index % NODES]!)).perSecond);
    }
    return [
      { what: `claims of one lease by ${NODES} nodes`, figure: `${Math.round(median(figures.contended))} /s` },
      {
        what: `claims of ${NODES} leases, one node each`,
        figure: `${Math.round(median(figures.alone))} /s`,
        goal: 'etcd, one node, compare-and-swap: 4.8-5.0 k /s on such a machine',
      },
    ];
  } finally {
    await supervisor.stop();
  }
}

async function registerNodes({ ready }: ChildServer): Promise<string[]> {
  const client = createClient({ url: `http://127.0.0.1:${ready.port}`, credential: String(ready.fleet_key) });
  const ids = Array.from({ length: NODES }, (_, index) => `claimant-${index}`);
  for (const [index, node_id] of ids.entries()) {
    await client.register({ node_id, site: `site-${index}`, capabilities: [], host: node_id, ip: '127.0.0.1', versions: {} });
  }
  return ids;
}

function claim({ ready }: ChildServer, node_id: string, site: string): Buffer {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${ready.fleet_key}` };
  return rawRequest('POST', `/v1/leader/claim?site=${site}`, headers, JSON.stringify({ node_id, url: 'http://192.0.2.7:7420' }));
}
