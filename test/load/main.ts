/**
 * `npm run load [-- --target=node|worker|URL --sites=100 --nodes=100 --ttl=60 --seconds=60 --spread=0 --connections=500 --direct=all|none|N]`:
 * sites and nodes in a boot storm, in steady state and in failovers, against one Supervisor. `--direct`: how many nodes of each site
 * call it themselves; the others are spoken for by their leader. Of a URL the fleet key is in `BOOTPLANE_API_KEY`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../shared/client.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { startWorkerProcess } from '../e2e/support/worker-process.ts';
import { startServer } from '../support/child-server.ts';
import { Caller, Figures } from './caller.ts';
import { beat, boot, claim, type LoadNode, nodesOf, repeat, Uplink } from './nodes.ts';

const FLEET_KEY = process.env.BOOTPLANE_API_KEY ?? 'a fleet key for the load driver only';

const given = new Map(process.argv.slice(2).map((word) => word.replace(/^--/, '').split('=') as [string, string]));
const number = (name: string, fallback: number) => Number(given.get(name) ?? fallback);
const target = given.get('target') ?? 'node';
const options = {
  sites: number('sites', 100),
  nodes: number('nodes', 100),
  ttl_seconds: number('ttl', 60),
  seconds: number('seconds', 60),
  /** Over how many seconds the nodes come up. 0: all in one moment. */
  spread: number('spread', 0),
  connections: number('connections', 500),
};
const told = given.get('direct') ?? (target === 'worker' ? 'none' : 'all');
const direct = told === 'all' ? options.nodes : told === 'none' ? 0 : Number(told);

interface Target {
  readonly url: string;
  /** What the Supervisor did since the last time, where it can be asked. */
  counts(): Promise<string>;
  stop(): Promise<void>;
}

async function start(): Promise<Target> {
  if (target === 'node') {
    const server = await startServer('test/load/server.ts', { FLEET_KEY, TTL_SECONDS: String(options.ttl_seconds) });
    const url = `http://127.0.0.1:${server.ready.port}`;
    return { url, counts: async () => (await fetch(`${url}/load-counts`)).text(), stop: () => server.stop() };
  }
  const silent = async () => 'rows: `npm run bench -- cost`';
  if (target !== 'worker') return { url: target, counts: silent, stop: async () => undefined };
  const vars = { BOOTPLANE_TTL_SECONDS: String(options.ttl_seconds), BOOTPLANE_WRITE_BUDGET: '1000000000000' };
  const worker = await startWorkerProcess(FLEET_KEY, vars);
  return { url: worker.url, counts: silent, stop: worker.stop };
}

const { sites: siteCount, nodes: nodeCount, ttl_seconds, seconds, spread, connections } = options;
const supervisor = await start();
const caller = new Caller(supervisor.url, { connections, timeout_ms: 30_000 });
const uplinks = new Map<string, Uplink>();

async function phase(name: string, work: () => Promise<string>): Promise<void> {
  caller.figures = new Figures();
  await supervisor.counts();
  const began = performance.now();
  const outcome = await work();
  const took = (performance.now() - began) / 1000;
  const { figures } = caller;
  const lines = ['| call | requests | answers | p50 | p99 | longest |', '| --- | --- | --- | --- | --- | --- |', ...figures.lines()];
  const rate = `${figures.requests} requests in ${took.toFixed(1)} s (${Math.round(figures.requests / took)} /s), ${figures.errors} errors`;
  process.stdout.write(`\n## ${name}\n\n${rate}; ${outcome}; ${await supervisor.counts()}\n\n${lines.join('\n')}\n`);
}

/** The first node of each site claims; those that call the cloud themselves boot, and the leader speaks for the others. */
async function bootSite(nodes: readonly LoadNode[]): Promise<boolean> {
  const [leader] = nodes;
  if (leader === undefined) return false;
  await sleep(Math.random() * spread * 1000);
  const epoch = await claim(caller, leader);
  if (epoch === undefined) return false;
  const uplink = new Uplink(caller, { leader, nodes: nodes.slice(direct) }, epoch);
  uplinks.set(leader.site, uplink);
  await uplink.tell();
  const booted = await Promise.all(
    nodes.slice(0, direct).map((node) => sleep(Math.random() * spread * 1000).then(() => boot(caller, node))),
  );
  return booted.every(Boolean);
}

/** A fleet of its own gets documents, so that its nodes have something to ask for. */
async function publish(): Promise<void> {
  if (target !== 'node' && target !== 'worker') return;
  const client = createClient({ url: supervisor.url, credential: FLEET_KEY });
  await client.publish('plan', { services: [{ name: 'api', version: '1', command: ['run'], placement: { count: 2 } }] }, { if_match: 0 });
  await client.publish('profile', { storage: { buckets: [{ name: 'captures' }] } }, { if_match: 0 });
}

async function liveNodes(): Promise<string> {
  const client = createClient({ url: supervisor.url, credential: FLEET_KEY });
  const counts = new Map<string, number>();
  for (let after: string | undefined; ; ) {
    const { body } = await client.nodes(after === undefined ? { limit: 500 } : { limit: 500, after });
    for (const { liveness } of body.nodes) counts.set(liveness, (counts.get(liveness) ?? 0) + 1);
    if (body.next === undefined) break;
    after = body.next;
  }
  return [...counts].map(([liveness, count]) => `${count} ${liveness}`).join(', ');
}

try {
  const sites = await nodesOf(await deriveFleetKeys('default', FLEET_KEY), siteCount, nodeCount);
  await publish();
  process.stdout.write(`${target}: ${siteCount} sites of ${nodeCount} nodes, ${direct} of each call it themselves, TTL ${ttl_seconds} s\n`);
  await phase(`boot storm over ${spread} s`, async () => {
    const booted = await Promise.all(sites.map(bootSite));
    return `${booted.filter(Boolean).length} of ${siteCount} sites are up, ${await liveNodes()}`;
  });
  await phase('steady state', async () => {
    const until = performance.now() + seconds * 1000;
    const beats = sites.flatMap((nodes) => nodes.slice(0, direct).map((node) => repeat(ttl_seconds, until, () => beat(caller, node))));
    await Promise.all([...beats, ...[...uplinks.values()].map((uplink) => repeat(ttl_seconds, until, () => uplink.tell()))]);
    return liveNodes();
  });
  await phase('failovers: each site loses its leader at once, and five nodes contend', async () => {
    const won = await Promise.all(
      sites.map(async ([leader, ...others]) => {
        if (leader === undefined) return 0;
        await caller.call('release', ['POST', `/v1/leader/release?site=${leader.site}`], leader.credential, {
          node_id: leader.node_id,
          epoch: 1,
        });
        const epochs = await Promise.all(others.slice(0, 5).map((node) => claim(caller, node, 'claim, contended')));
        return epochs.filter((epoch) => epoch !== undefined).length;
      }),
    );
    return `${won.filter((winners) => winners === 1).length} of ${siteCount} sites have exactly one new leader`;
  });
} finally {
  caller.close();
  await supervisor.stop();
}
