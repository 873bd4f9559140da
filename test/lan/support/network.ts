import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { inside, isRunning, run, runInside } from './commands.ts';

/** One machine on the network: a namespace with one interface, `v0`. */
export interface Host {
  readonly namespace: string;
  readonly address: string;
  /** The name of its port on the switch. */
  readonly port: string;
}

/** Machines on one switch, all of them network namespaces of this test alone. */
export interface Network {
  readonly hosts: readonly Host[];
  /** The cable of a host: without it the machine has no carrier. */
  plug(host: Host, plugged: boolean): Promise<void>;
  /** Takes the interface of a host away and makes another of the same name and address. */
  replaceInterface(host: Host): Promise<void>;
  /** Nothing passes between the two groups; the cables stay. */
  split(left: readonly Host[], right: readonly Host[]): Promise<void>;
  /** This part of all packets is lost on the way to the switch, in percent. */
  lose(percent: number): Promise<void>;
  /** The switch drops all multicast DNS, as many a wireless network does. */
  blockMulticast(): Promise<void>;
  /** Ends all faults of `split`, `lose` and `blockMulticast`. */
  heal(): Promise<void>;
  /** Kills what still runs in the namespaces and removes them. */
  close(): Promise<void>;
}

export interface NetworkOptions {
  readonly hosts: number;
  /** Each cable takes so long, each way. Needs Python. */
  readonly delay_ms?: number;
}

/** The name says whose it is, so that a later run can clear away what a killed one left. */
const NAME = /^bplan-(\d+)-\d+-/;
const CABLE = fileURLToPath(new URL('delayed_cable.py', import.meta.url));

let opened = 0;

/** Makes a network. What test runs that are gone have left is removed first. */
export async function openNetwork({ hosts: count, delay_ms }: NetworkOptions): Promise<Network> {
  await removeLeftovers();
  opened += 1;
  const prefix = `bplan-${process.pid}-${opened}`;
  const name = `${prefix}-switch`;
  const cables: ChildProcess[] = [];
  const hosts = Array.from({ length: count }, (_, index): Host => {
    return { namespace: `${prefix}-${index + 1}`, address: `10.77.0.${index + 1}`, port: `p${index + 1}` };
  });
  const close = async () => {
    for (const cable of cables) cable.stdin?.end();
    for (const namespace of [...hosts.map((host) => host.namespace), name]) await removeNamespace(namespace);
  };
  try {
    await makeSwitch(name);
    for (const host of hosts) {
      await makeHost(host);
      if (delay_ms === undefined) await connect(name, host);
      else cables.push(await connectSlowly(name, host, delay_ms));
      await configure(host);
    }
    return { hosts, close, ...faults(name, hosts) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function makeSwitch(name: string): Promise<void> {
  await run('ip', ['netns', 'add', name]);
  const bridge = ['type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
  await run('ip', ['-n', name, 'link', 'add', 'br0', ...bridge]);
  await run('ip', ['-n', name, 'link', 'set', 'br0', 'up']);
}

async function makeHost({ namespace }: Host): Promise<void> {
  await run('ip', ['netns', 'add', namespace]);
  await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
}

async function connect(name: string, { namespace, port }: Host): Promise<void> {
  await run('ip', ['link', 'add', 'v0', 'netns', namespace, 'type', 'veth', 'peer', 'name', port, 'netns', name]);
  await run('ip', ['-n', name, 'link', 'set', port, 'master', 'br0', 'up']);
}

async function connectSlowly(name: string, { namespace, port }: Host, delay_ms: number): Promise<ChildProcess> {
  const far = `t${port}`;
  const [program, args] = inside(name, ['python3', CABLE, port, far, String(delay_ms)]);
  const cable = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    cable.stdout?.once('data', () => resolve());
    cable.once('error', reject);
    cable.once('exit', (code) => reject(new Error(`the delayed cable ended with ${code}`)));
  });
  await run('ip', ['-n', name, 'link', 'set', far, 'netns', namespace, 'name', 'v0']);
  await run('ip', ['-n', name, 'link', 'set', port, 'master', 'br0', 'up']);
  return cable;
}

async function configure({ namespace, address }: Host): Promise<void> {
  await run('ip', ['-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'v0']);
  await run('ip', ['-n', namespace, 'link', 'set', 'v0', 'up']);
}

function faults(name: string, hosts: readonly Host[]): Omit<Network, 'hosts' | 'close'> {
  const ports = (group: readonly Host[]) => `{ ${group.map(({ port }) => `"${port}"`).join(', ')} }`;
  return {
    plug: async ({ port }, plugged) => void (await run('ip', ['-n', name, 'link', 'set', port, plugged ? 'up' : 'down'])),
    replaceInterface: async (host) => {
      await run('ip', ['-n', host.namespace, 'link', 'del', 'v0']);
      await connect(name, host);
      await configure(host);
    },
    split: (left, right) => {
      const oneWay = (from: readonly Host[], to: readonly Host[]) => `iifname ${ports(from)} oifname ${ports(to)} drop;`;
      return filter(
        name,
        `table bridge split { chain f { type filter hook forward priority 0; ${oneWay(left, right)} ${oneWay(right, left)} }; }`,
      );
    },
    lose: async (percent) => {
      const chain = ({ port }: Host) =>
        `chain ${port} { type filter hook ingress device "${port}" priority 0; numgen random mod 100 < ${percent} drop; };`;
      await filter(name, `table netdev loss { ${hosts.map(chain).join(' ')} }`);
    },
    blockMulticast: () =>
      filter(name, 'table bridge deaf { chain f { type filter hook forward priority 0; ether daddr 01:00:5e:00:00:fb drop; }; }'),
    heal: async () => void (await runInside(name, ['nft', 'flush', 'ruleset'])),
  };
}

async function filter(name: string, rules: string): Promise<void> {
  await runInside(name, ['nft', rules]);
}

async function removeNamespace(namespace: string): Promise<void> {
  const pids = await run('ip', ['netns', 'pids', namespace]).catch(() => '');
  for (const pid of pids.split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended in the meantime.
    }
  }
  await run('ip', ['netns', 'del', namespace]).catch(() => '');
}

async function removeLeftovers(): Promise<void> {
  const lines = (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '');
  for (const namespace of lines) {
    const pid = NAME.exec(namespace)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await removeNamespace(namespace);
  }
}
