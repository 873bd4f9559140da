import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ClusterFile } from '../../../shared/contract/status.ts';
import { until } from '../../support/until.ts';
import { inside, runInside } from './commands.ts';
import type { Host, Network } from './network.ts';

export const FLEET_KEY = 'a fleet key for tests on a network of their own';
export const PORT = 7420;

/** A real node on one host. */
export interface LanNode {
  readonly host: Host;
  readonly node_id: string;
  readonly url: string;
  /** What its `cluster.json` says; undefined while there is none. */
  cluster(): ClusterFile | undefined;
  /** Calls the node on its own host: status, and the body. */
  call(path: string, options?: CallOptions): Promise<{ status: number; body: Record<string, unknown> }>;
  output(): string;
  /** Sends a signal; resolves when the process has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
}

export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LanNodeOptions {
  readonly node_id: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** What runs: by default the checkout. */
  readonly program?: string;
}

/** The nodes of one test, and their folders. */
export class LanFleet {
  readonly network: Network;
  readonly nodes: LanNode[] = [];
  readonly #folders = new Map<string, string>();

  constructor(network: Network) {
    this.network = network;
  }

  /** Starts a node on a host; a second start with the same id goes on with its data directory. */
  start(host: Host, { node_id, env = {}, args = [], program = resolve('runtime-node/main.js') }: LanNodeOptions): LanNode {
    const folder = this.#folderOf(`${host.namespace} ${node_id}`);
    const settings = { BOOTPLANE_API_KEY: FLEET_KEY, BOOTPLANE_NODE_ID: node_id, BOOTPLANE_DATA_DIR: folder, ...env };
    const [command, all] = inside(host.namespace, [process.execPath, program, 'up', '--log', 'json', '--port', String(PORT), ...args]);
    const child = spawn(command, all, {
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/', ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const node = createNode(host, node_id, folder, child, settings.BOOTPLANE_API_KEY);
    this.nodes.push(node);
    return node;
  }

  /** Waits until these nodes follow one leader at one epoch, and the leader counts them all as online. Gives the leader. */
  async agreed(nodes: readonly LanNode[] = this.nodes, seconds = 120): Promise<LanNode> {
    try {
      return await until('one leader', async () => agreement(nodes), seconds);
    } catch (error) {
      const shown = nodes.map(({ node_id, cluster }) => `${node_id}: ${JSON.stringify(cluster())}`);
      const outputs = nodes.map(({ node_id, output }) => `--- ${node_id}\n${output().split('\n').slice(-25).join('\n')}`);
      throw new Error(`${error}\n${shown.join('\n')}\n${outputs.join('\n')}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end('SIGKILL')));
    await this.network.close();
    for (const folder of this.#folders.values()) await rm(folder, { recursive: true, force: true });
  }

  #folderOf(name: string): string {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const folder = mkdtempSync(join(tmpdir(), 'bootplane-lan-'));
    this.#folders.set(name, folder);
    return folder;
  }
}

function createNode(host: Host, node_id: string, folder: string, child: ChildProcess, key: string): LanNode {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk));
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  // As root, services run as another user, who has to pass through.
  void chmod(folder, 0o711);
  return {
    host,
    node_id,
    url: `http://${host.address}:${PORT}`,
    cluster: () => readCluster(folder),
    call: (path, options) => call(host, key, path, options),
    output: () => output,
    end: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
  };
}

function readCluster(folder: string): ClusterFile | undefined {
  try {
    return ClusterFile.parse(JSON.parse(readFileSync(join(folder, 'cluster.json'), 'utf8')));
  } catch {
    return undefined;
  }
}

async function call(host: Host, key: string, path: string, { method = 'GET', body, headers = {} }: CallOptions = {}) {
  const fields = { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers };
  const args = Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const data = body === undefined ? [] : ['--data-binary', JSON.stringify(body)];
  const url = `http://127.0.0.1:${PORT}${path}`;
  const text = await runInside(host.namespace, ['curl', '-sS', '-m', '60', '-X', method, '-w', '\n%{http_code}', ...args, ...data, url]);
  const [, json = '', status] = /^(.*)\n(\d+)$/s.exec(text) ?? [];
  return { status: Number(status), body: (json === '' ? {} : JSON.parse(json)) as Record<string, unknown> };
}

async function agreement(nodes: readonly LanNode[]): Promise<LanNode | undefined> {
  const files = nodes.map((node) => node.cluster());
  const [first] = files;
  const leader = nodes.find(({ node_id }) => node_id === first?.leader_node_id);
  if (first === undefined || leader === undefined) return undefined;
  if (!files.every((file) => file?.leader_node_id === first.leader_node_id && file?.epoch === first.epoch)) return undefined;
  if (leader.cluster()?.role !== 'leader') return undefined;
  const online = await onlineAt(leader);
  return nodes.every(({ node_id }) => online.includes(node_id)) ? leader : undefined;
}

/** The ids of the nodes that a node's control plane counts as online. */
export async function onlineAt(node: LanNode): Promise<string[]> {
  const { body } = await node.call('/v1/nodes?limit=100');
  const nodes = (body.nodes ?? []) as { node_id: string; liveness?: string; status?: string }[];
  return nodes.filter((one) => (one.liveness ?? one.status) === 'online').map(({ node_id }) => node_id);
}
