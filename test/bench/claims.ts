import { createClient } from '../../shared/client.ts';
import { type ChildServer, startServer } from '../support/child-server.ts';
import { load, rawRequest } from './load.ts';
import { median, type Row, ratio } from './report.ts';

const NODES = 200;
const CONNECTIONS = 256;
const SECONDS = 2;
const ROUNDS = 5;
const URL_OF_NODE = 'http://192.0.2.7:7420';

interface Lease {
  readonly node_id: string;
  readonly site: string;
  /** Of the holder; absent: a claim from nothing. */
  readonly epoch?: number;
}

/** Claims of one lease by many nodes, and renewals of many leases by the node that holds each, in turn with a bare handler. */
export async function benchClaims(): Promise<Row[]> {
  const bare = await startServer('test/bench/bare-server.ts');
  const supervisor = await startServer('test/support/supervisor-server.ts');
  try {
    const ids = await registerNodes(supervisor);
    const contended = ids.map((node_id) => claim(supervisor, { node_id, site: 'default' }));
    const renewals = await Promise.all(
      ids.map(async (node_id, index) => claim(supervisor, await hold(supervisor, node_id, `site-${index}`))),
    );
    const echo = rawRequest('POST', '/', { 'content-type': 'application/json' }, JSON.stringify({ node_id: ids[0], url: URL_OF_NODE }));
    const figures = { bare: [] as number[], contended: [] as number[], renewals: [] as number[] };
    const rate = async (server: ChildServer, requests: readonly Buffer[]) =>
      (await load(server.ready.port, CONNECTIONS, SECONDS, (index) => requests[index % requests.length]!)).perSecond;
    for (let round = 0; round < ROUNDS; round += 1) {
      figures.bare.push(await rate(bare, [echo]));
      figures.contended.push(await rate(supervisor, contended));
      figures.renewals.push(await rate(supervisor, renewals));
    }
    const etcd = 'etcd, one node, compare-and-swap: 4.8-5.0 k /s on such a machine';
    return [
      { what: 'bare Hono, POST JSON', figure: `${Math.round(median(figures.bare))} /s` },
      {
        what: `claims of one lease by ${NODES} nodes`,
        figure: `${Math.round(median(figures.contended))} /s`,
        ratio: ratio(figures.contended, figures.bare),
      },
      {
        what: `renewals of ${NODES} leases`,
        figure: `${Math.round(median(figures.renewals))} /s`,
        ratio: ratio(figures.renewals, figures.bare),
        goal: etcd,
      },
    ];
  } finally {
    await Promise.all([bare.stop(), supervisor.stop()]);
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

/** The first claim of a lease; what to renew it with. */
async function hold({ ready }: ChildServer, node_id: string, site: string): Promise<Lease> {
  const client = createClient({ url: `http://127.0.0.1:${ready.port}`, credential: String(ready.fleet_key) });
  const { body } = await client.claim({ node_id, url: URL_OF_NODE }, site);
  return { node_id, site, epoch: body.epoch };
}

function claim({ ready }: ChildServer, { node_id, site, epoch }: Lease): Buffer {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${ready.fleet_key}` };
  return rawRequest('POST', `/v1/leader/claim?site=${site}`, headers, JSON.stringify({ node_id, url: URL_OF_NODE, epoch }));
}
