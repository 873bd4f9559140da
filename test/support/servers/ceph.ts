import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../free-port.ts';
import { programPath } from '../program-path.ts';
import { until } from '../until.ts';

const run = promisify(execFile);

/** A private Ceph object gateway: one monitor, one store in memory, one gateway. */
export interface Ceph {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  readonly access_key: string;
  readonly secret_key: string;
  /** The gateway goes away as if its machine lost power; what was stored stays. */
  killGateway(): Promise<void>;
  startGateway(): Promise<void>;
  stop(): Promise<void>;
}

const PROGRAMS = ['ceph', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'];

/** Why Ceph can't be started here; undefined where it can. */
export function whyNoCeph(): string | undefined {
  const missing = PROGRAMS.filter((program) => programPath(program) === undefined);
  if (missing.length > 0) return `needs ${missing.join(', ')} (apt install ceph-mon ceph-osd radosgw)`;
  return process.getuid?.() === 0 ? undefined : 'needs root';
}

/** Starts it in a folder of its own on free ports, as direct children. */
export async function startCeph(): Promise<Ceph> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-ceph-'));
  const children: ChildProcess[] = [];
  const stop = async () => {
    for (const child of children.reverse()) await kill(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return await startIn(folder, children, stop);
  } catch (error) {
    const said = await Promise.all(['mon', 'osd', 'rgw'].map((name) => readFile(join(folder, `${name}.out`), 'utf8').catch(() => '')));
    await stop();
    throw new Error(`Ceph did not start: ${error instanceof Error ? error.message : error}\n${said.join('\n').slice(-2000)}`, {
      cause: error,
    });
  }
}

async function startIn(folder: string, children: ChildProcess[], stop: () => Promise<void>): Promise<Ceph> {
  const [monitor, port, fsid, osd] = [await freePort(), await freePort(), randomUUID(), randomUUID()];
  for (const name of ['mon', 'osd', 'rgw', 'run', 'log']) await mkdir(join(folder, name));
  const file = join(folder, 'ceph.conf');
  await writeFile(file, configuration(folder, { fsid, monitor, gateway: port }));
  const conf = ['-c', file];
  const root = ['--setuser', 'root', '--setgroup', 'root'];
  const start = async (name: string, program: string, args: readonly string[]) => {
    const output = await open(join(folder, `${name}.out`), 'a');
    const child = spawn(program, [...conf, ...args, '-f', ...root], { stdio: ['ignore', output.fd, output.fd] });
    child.once('error', () => undefined);
    await output.close();
    children.push(child);
    return child;
  };
  const tool = (program: string, ...args: string[]) => run(program, [...conf, ...args], { timeout: 30_000 });

  const map = join(folder, 'monmap');
  await run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${monitor}]`, map]);
  await tool('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map, ...root);
  await start('mon', 'ceph-mon', ['-i', 'a']);
  await until('the monitor', () => tool('ceph', '--connect-timeout', '2', 'osd', 'new', osd).then(() => true));
  await tool('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd, ...root);
  await start('osd', 'ceph-osd', ['-i', '0']);
  await until('the store', async () => (await tool('ceph', 'osd', 'stat')).stdout.includes('1 up'));

  const endpoint = `http://127.0.0.1:${port}`;
  let gateway: ChildProcess;
  const startGateway = async () => {
    gateway = await start('rgw', 'radosgw', ['-n', 'client.rgw']);
    await until('the gateway', () => fetch(endpoint).then(async (answer) => (await answer.text()) !== ''));
  };
  await startGateway();
  const [access_key, secret_key] = ['the-access-key', 'a secret key/+='];
  await tool(
    'radosgw-admin',
    '-n',
    'client.rgw',
    'user',
    'create',
    '--uid=tests',
    '--display-name=tests',
    `--access-key=${access_key}`,
    `--secret-key=${secret_key}`,
  );
  return { endpoint, access_key, secret_key, killGateway: () => kill(gateway), startGateway, stop };
}

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}

/** No authentication inside, one copy of everything, nothing on disk but the monitor. Without `tcp_nodelay` a small read takes 40 ms. */
function configuration(folder: string, { fsid, monitor, gateway }: { fsid: string; monitor: number; gateway: number }): string {
  return `
[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
paxos propose interval = 0.1
paxos min wait = 0.01
mon warn on insecure global id reclaim allowed = false
run dir = ${folder}/run
log file = ${folder}/log/$name.log
admin socket = ${folder}/run/$name.$pid.asok
pid file = ${folder}/run/$name.pid
crash dir = ${folder}/log
ms bind ipv6 = false
ms bind msgr1 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
[mon]
mon data = ${folder}/mon
mon data avail crit = 1
mon data avail warn = 1
mon cluster log file = ${folder}/log/cluster.log
[osd]
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
osd class load list = *
osd class default list = *
[client.rgw]
ms mon client mode = crc
rgw data = ${folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:${gateway} tcp_nodelay=1
rgw dns name =
rgw enable apis = s3
rgw enable usage log = false
rgw run sync thread = false
`;
}
