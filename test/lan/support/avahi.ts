import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../../support/until.ts';
import { inside } from './commands.ts';
import type { Host } from './network.ts';

/** A real avahi on one host, with a message bus of its own. */
export interface Avahi {
  /** What `avahi-browse -rt` prints, one service per line, the fields split at `;`. */
  browse(type: string): Promise<string[][]>;
  /** Publishes a service until it is told to stop. */
  publish(name: string, type: string, port: number, txt: readonly string[]): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

const BUS = (
  socket: string,
) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="error"/><allow receive_type="method_return"/>
</policy></busconfig>`;

const CONFIG = (name: string) => `[server]
host-name=${name}
use-ipv4=yes
use-ipv6=no
allow-interfaces=v0
disallow-other-stacks=no
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
publish-aaaa-on-ipv4=no
`;

/** `/run/avahi-daemon` is one for the machine: in a mount namespace of its own each avahi has another. */
const PRIVATE_RUN = 'mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec "$@"';

export async function startAvahi(host: Host, name = 'foreign'): Promise<Avahi> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-avahi-'));
  const bus = join(folder, 'bus');
  await mkdir('/run/avahi-daemon', { recursive: true });
  await writeFile(join(folder, 'bus.conf'), BUS(bus));
  await writeFile(join(folder, 'avahi.conf'), CONFIG(name));
  const env = { PATH: `${process.env.PATH ?? ''}:/usr/sbin`, LC_ALL: 'C.UTF-8', DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${bus}` };
  const children = new Set<ChildProcess>();
  let output = '';
  const start = (command: readonly string[]) => {
    const [program, args] = inside(host.namespace, command);
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    children.add(child);
    return child;
  };
  const stop = async () => {
    await Promise.all([...children].map(end));
    await rm(folder, { recursive: true, force: true });
  };
  const ask = async (command: readonly string[]) => {
    const child = start(command);
    const text: string[] = [];
    child.stdout.on('data', (chunk) => text.push(String(chunk)));
    await new Promise((resolve) => child.once('close', resolve));
    children.delete(child);
    return text.join('');
  };
  try {
    start(['dbus-daemon', `--config-file=${join(folder, 'bus.conf')}`, '--nofork', '--nopidfile', '--nosyslog']);
    await until('the message bus', async () => existsSync(bus));
    const flags = ['--no-drop-root', '--no-chroot', '--no-rlimits', '--no-proc-title'];
    start(['unshare', '-m', 'sh', '-c', PRIVATE_RUN, 'sh', 'avahi-daemon', '-f', join(folder, 'avahi.conf'), ...flags]);
    await until('avahi', async () => output.includes('Server startup complete'));
  } catch (error) {
    await stop();
    throw new Error(`${error}\n${output}`);
  }
  return {
    browse: async (type) => {
      const text = await ask(['timeout', '20', 'avahi-browse', '-rtp', type]);
      return text.split('\n').flatMap((line) => (line.startsWith('=') ? [line.split(';')] : []));
    },
    publish: async (service, type, port, txt) => {
      const before = output.length;
      const child = start(['avahi-publish-service', service, type, String(port), ...txt]);
      await until(`${service} of avahi`, async () => output.slice(before).includes('Established under name'));
      return () => end(child);
    },
    stop,
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = promisify((done: (error: null) => void) => child.once('exit', () => done(null)))();
  child.kill('SIGTERM');
  await ended;
}
