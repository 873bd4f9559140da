import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';

interface Member {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  process: ChildProcess;
}

/**
 * The yardstick: how long three etcd nodes with their default timers take no write after their leader was
 * killed with -9, milliseconds, round by round. Undefined where etcd is not installed.
 */
export async function etcdTakeovers(rounds: number): Promise<number[] | undefined> {
  if (spawnSync('etcd', ['--version']).status !== 0) return undefined;
  const root = mkdtempSync(join(tmpdir(), 'bootplane-etcd-'));
  const members = await open(root);
  try {
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) times.push(await takeover(root, members));
    return times;
  } finally {
    for (const { process } of members) process.kill('SIGKILL');
    await sleep(200);
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function open(root: string): Promise<Member[]> {
  const ports = await Promise.all(Array.from({ length: 6 }, freePort));
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const names = ['a', 'b', 'c'].map((name, index) => ({ name, client: urls[2 * index] ?? '', peer: urls[2 * index + 1] ?? '' }));
  const cluster = names.map(({ name, peer }) => `${name}=${peer}`).join(',');
  return names.map((one) => ({ ...one, process: start(root, one, cluster, 'new') }));
}

function start(root: string, { name, client, peer }: Omit<Member, 'process'>, cluster: string, state: string): ChildProcess {
  const args = {
    name,
    'data-dir': join(root, name),
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': cluster,
    'initial-cluster-state': state,
    'log-level': 'error',
  };
  return spawn(
    'etcd',
    Object.entries(args).flatMap(([key, value]) => [`--${key}`, value]),
    { stdio: 'ignore' },
  );
}

async function takeover(root: string, members: readonly Member[]): Promise<number> {
  const leader = await leaderOf(members);
  const others = members.filter((one) => one !== leader);
  const exited = new Promise((resolve) => leader.process.once('exit', resolve));
  leader.process.kill('SIGKILL');
  const began = performance.now();
  while (!(await Promise.all(others.map(put))).some(Boolean)) await sleep(5);
  const took = performance.now() - began;
  await exited;
  leader.process = start(root, leader, members.map(({ name, peer }) => `${name}=${peer}`).join(','), 'existing');
  return took;
}

async function leaderOf(members: readonly Member[]): Promise<Member> {
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    const statuses = await Promise.all(members.map(({ client }) => post(`${client}/v3/maintenance/status`, {})));
    const index = statuses.findIndex((status) => status?.header?.member_id !== undefined && status.header.member_id === status.leader);
    const leader = members[index];
    if (leader !== undefined && statuses.every((status) => status?.leader === statuses[index]?.leader)) return leader;
    await sleep(50);
  }
  throw new Error('etcd has no leader');
}

async function put({ client }: Member): Promise<boolean> {
  return (await post(`${client}/v3/kv/put`, { key: btoa('round'), value: btoa(String(performance.now())) })) !== undefined;
}

interface Status {
  readonly leader?: string;
  readonly header?: { readonly member_id?: string };
}

async function post(url: string, body: unknown): Promise<Status | undefined> {
  try {
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(250) });
    return answer.ok ? ((await answer.json()) as Status) : undefined;
  } catch {
    return undefined;
  }
}
