import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '../../../shared/client.ts';
import type { Health } from '../../../shared/contract/status.ts';
import { freePort } from '../../support/free-port.ts';
import { type NodeProcess, startNodeProcess } from './node-process.ts';

/** One machine of the fleet: its address and its disk stay, its process comes and goes. */
export interface Member {
  readonly node_id: string;
  readonly url: string;
  readonly dataDir: string;
  /** The process that runs now, if any. */
  process: NodeProcess | undefined;
  /** With the fleet key. */
  readonly client: Client;
  start(): Promise<NodeProcess>;
  /** What it says of itself; undefined while it does not answer. */
  health(): Promise<Health | undefined>;
}

export interface FleetOptions {
  readonly nodes: number;
  /** More arguments of `up` for the node of that index. */
  readonly args?: (index: number) => readonly string[];
  /** More of the environment of each. */
  readonly env?: Readonly<Record<string, string>>;
  readonly entry?: string;
}

export interface Fleet {
  readonly key: string;
  readonly members: readonly Member[];
  /** Resolves with who leads when all running members agree on it and know each other. */
  settled(within_ms?: number): Promise<Member>;
  /** Ends everything and removes the disks. */
  close(): Promise<void>;
}

const KEY = 'a fleet key that is only for tests';

/** Several nodes of one fleet on this machine, which find each other as peers: loopback has no multicast everywhere. */
export async function openFleet({ nodes, args = () => [], env = {}, entry }: FleetOptions): Promise<Fleet> {
  const root = await mkdtemp(join(tmpdir(), 'bootplane-fleet-'));
  const ports = await Promise.all(Array.from({ length: nodes }, freePort));
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const members = urls.map((url, index) => {
    const peers = urls.filter((one) => one !== url).join(',');
    const own = ['--port', String(ports[index]), '--node-id', `node-${index + 1}`, ...(peers === '' ? [] : ['--peers', peers])];
    return member(url, `node-${index + 1}`, join(root, String(index + 1)), { args: [...own, '--no-mdns', ...args(index)], env, entry });
  });
  return {
    key: KEY,
    members,
    settled: (within_ms = 120_000) => settled(members, within_ms),
    close: async () => {
      await Promise.all(members.map(({ process }) => process?.end('SIGKILL')));
      await rm(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface Start {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly entry: string | undefined;
}

function member(url: string, node_id: string, dataDir: string, { args, env: more, entry }: Start): Member {
  const client = createClient({ url, credential: KEY });
  const self: Member = {
    node_id,
    url,
    dataDir,
    client,
    process: undefined,
    async start() {
      await mkdir(dataDir, { recursive: true });
      const env = { ...more, BOOTPLANE_API_KEY: KEY };
      const running = await startNodeProcess({ dataDir, args, env, ...(entry === undefined ? {} : { entry }) });
      self.process = running;
      void running.exited.then(() => {
        if (self.process === running) self.process = undefined;
      });
      return running;
    },
    health: () =>
      client.health().then(
        ({ body }) => body,
        () => undefined,
      ),
  };
  return self;
}

async function settled(members: readonly Member[], within_ms: number): Promise<Member> {
  const end = performance.now() + within_ms;
  let seen = '';
  while (performance.now() < end) {
    const running = members.filter(({ process }) => process !== undefined);
    const healths = await Promise.all(running.map((one) => one.health()));
    const leaders = running.filter((_, index) => healths[index]?.role === 'leader');
    const views = new Set(healths.map((health) => `${health?.epoch} ${health?.leader_url}`));
    const [leader] = leaders;
    if (leader !== undefined && leaders.length === 1 && views.size === 1 && (await knows(leader, running))) return leader;
    seen = running.map(({ node_id }, index) => `${node_id}: ${healths[index]?.role} ${healths[index]?.epoch}`).join('; ');
    await sleep(20);
  }
  const logs = members.map(({ node_id, process }) => `--- ${node_id}\n${process?.output().slice(-3000) ?? 'not running'}`).join('\n');
  throw new Error(`the fleet did not settle within ${within_ms} ms (${seen})\n${logs}`);
}

async function knows(leader: Member, running: readonly Member[]): Promise<boolean> {
  const { body } = await leader.client.nodes();
  const online = new Set(body.nodes.filter(({ liveness }) => liveness === 'online').map(({ node_id }) => node_id));
  return running.every(({ node_id }) => online.has(node_id));
}
