import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunningNode } from '../../../runtime-node/commands/io.ts';
import { type Config, readSettings } from '../../../runtime-node/config.ts';
import { startNode } from '../../../runtime-node/node.ts';
import { type Client, createClient } from '../../../shared/client.ts';
import type { Health } from '../../../shared/contract/status.ts';
import { until } from '../../support/until.ts';

/** A service without a health check, and a profile that reaches every component. */
export const PLAN = { ttl_seconds: 2, services: [{ name: 'worker', version: '1', command: ['sleep', '86400'], stop_grace_seconds: 1 }] };
export const PROFILE = {
  storage: { buckets: [{ name: 'captures' }] },
  broker: { queues: [{ name: 'frames' }] },
  vector: { classes: [{ name: 'Frame' }] },
};

export interface LiveNode {
  readonly node: RunningNode;
  readonly client: Client;
  /** Ends it as kill -9 would: what it started goes on. */
  crash(): Promise<void>;
  stop(): Promise<number>;
}

export function offlineConfig(data_dir: string, more: Readonly<Record<string, string>> = {}): Config {
  const flags = { data_dir, host: '127.0.0.1', port: '0', mdns: 'off', ttl_seconds: '2', log: 'json', ...more };
  return { ...readSettings({ HOME: data_dir }, flags), seeds: {} };
}

/** Starts a node in this process, on real adapters. */
export async function startLive(config: Config): Promise<LiveNode> {
  const node = await startNode(config);
  const credential = config.api_key ?? (await readFile(join(config.data_dir, 'fleet.key'), 'utf8')).trim();
  const end = () => node.stopped.catch(() => 1);
  return {
    node,
    client: createClient({ url: node.url, credential }),
    crash: async () => {
      node.kill();
      await end();
    },
    stop: async () => {
      await node.stop();
      return end();
    },
  };
}

/** All four components stand as the documents want them, and the service runs. */
export function settled({ client }: Pick<LiveNode, 'client'>): Promise<Health> {
  return until('a node that has applied everything', async () => {
    const { body } = await client.health();
    const done = Object.values(body.components ?? {}).filter(({ status }) => status === 'applied' || status === 'unchanged').length === 4;
    if (!done || body.services?.[0]?.state !== 'running' || body.status !== 'ok') throw new Error(JSON.stringify(body.waiting_for ?? body));
    return body;
  });
}

/** The processes on this machine that were started for a service of this data directory. */
export async function workersOf(dataDir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const read = (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const owned = await Promise.all(
    pids.map(
      async (pid) =>
        (await read(pid, 'cmdline')).startsWith('sleep\0') && (await read(pid, 'environ')).includes(`${dataDir}/services/worker`),
    ),
  );
  return pids.filter((_, index) => owned[index]).map(Number);
}
