import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../free-port.ts';
import { programPath } from '../program-path.ts';
import { until } from '../until.ts';

const execute = promisify(execFile);

/** A private broker with its management interface. */
export interface RabbitMq {
  /** The port of AMQP on 127.0.0.1. */
  readonly port: number;
  /** The port of AMQP over TLS, with a certificate for 127.0.0.1 and localhost that `ca` signed. */
  readonly tls_port: number;
  /** PEM. */
  readonly ca: string;
  /** The URL of a user of this broker, an administrator unless said otherwise. */
  url(options?: { user?: string; password?: string; vhost?: string; port?: number }): string;
  /** `http://127.0.0.1:PORT` */
  readonly management_url: string;
  /** Runs `rabbitmqctl` and answers with what it prints. */
  ctl(...args: string[]): Promise<string>;
  /** The lines that `rabbitmqctl` prints, fields separated by tabs. */
  list(...args: string[]): Promise<string[]>;
  /**
   * What was declared is on its disk. Without that a queue or binding of the last moments is gone after `kill`, now and then
   * (seen with RabbitMQ 3.10).
   */
  persist(): Promise<void>;
  /** The broker dies as if its machine lost power; what it had on disk stays. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Not Debian's wrapper: that one changes the user and drops the environment. */
const FOLDER = '/usr/lib/rabbitmq/bin';
const PROGRAMS = ['erl', 'epmd', 'openssl'];
const USER = 'guest';

/** Why RabbitMQ can't be started here; undefined where it can. */
export function whyNoRabbitMq(): string | undefined {
  const missing = PROGRAMS.filter((program) => programPath(program) === undefined);
  if (!existsSync(join(FOLDER, 'rabbitmq-server'))) missing.unshift('rabbitmq-server');
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')} (apt install rabbitmq-server openssl)`;
}

/** Starts it in a folder of its own on free ports, as direct children. */
export async function startRabbitMq(): Promise<RabbitMq> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-rabbitmq-'));
  const ports = {
    amqp: await freePort(),
    tls: await freePort(),
    distribution: await freePort(),
    mapper: await freePort(),
    management: await freePort(),
  };
  const env = environment(folder, ports);
  await prepare(folder, ports);
  const ca = await makeCertificates(folder);
  // The port mapper of Erlang would outlive the broker: as a child of ours it ends with the test.
  const mapper = spawn('epmd', ['-address', '127.0.0.1', '-port', `${ports.mapper}`], { env, stdio: 'ignore' });
  let server: ChildProcess | undefined;
  const ctl = async (...args: string[]) =>
    (await execute(join(FOLDER, 'rabbitmqctl'), args, { env, timeout: 180_000, maxBuffer: 2 ** 26 })).stdout;
  const start = async () => {
    const output = await open(join(folder, 'out'), 'a');
    server = spawn(join(FOLDER, 'rabbitmq-server'), { env, stdio: ['ignore', output.fd, output.fd], detached: true });
    await output.close();
    const management = `http://127.0.0.1:${ports.management}/api/overview`;
    await until('RabbitMQ', async () => (await fetch(management, { headers: { authorization: `Basic ${btoa('guest:guest')}` } })).ok);
  };
  const persist = async () => void (await ctl('eval', 'ok = mnesia:sync_log(), dumped = mnesia:dump_log().'));
  const kill = async () => {
    await killGroup(server);
    // The leader of the group is a shell: what it started may be there for a moment longer.
    await until('the end of RabbitMQ', async () => !(await listens(ports.amqp)));
  };
  const stop = async () => {
    await kill();
    await killGroup(mapper);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    const said = await readFile(join(folder, 'out'), 'utf8').catch(() => '');
    await stop();
    throw new Error(`RabbitMQ did not start: ${error instanceof Error ? error.message : error}\n${said.slice(-2000)}`, { cause: error });
  }
  return {
    port: ports.amqp,
    tls_port: ports.tls,
    ca,
    url: ({ user = USER, password = user, vhost = '/', port = ports.amqp } = {}) =>
      `amqp://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${encodeURIComponent(vhost)}`,
    management_url: `http://127.0.0.1:${ports.management}`,
    ctl,
    list: async (...args) => (await ctl('-q', ...args, '--no-table-headers')).split('\n').filter((line) => line !== ''),
    persist,
    kill,
    start,
    stop,
  };
}

type Ports = Readonly<Record<'amqp' | 'tls' | 'distribution' | 'mapper' | 'management', number>>;

/** Everything in `folder`, nothing of what the machine has set up for its own broker. */
function environment(folder: string, { amqp, distribution, mapper }: Ports): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    LANG: 'C.UTF-8',
    HOME: folder,
    ERL_EPMD_PORT: `${mapper}`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `bootplane${amqp}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: `${amqp}`,
    RABBITMQ_DIST_PORT: `${distribution}`,
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'env.conf'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
    RABBITMQ_SCHEMA_DIR: join(folder, 'schema'),
    RABBITMQ_PLUGINS_EXPAND_DIR: join(folder, 'plugins'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  };
}

async function prepare(folder: string, { tls, management }: Ports): Promise<void> {
  for (const name of ['data', 'log', 'generated', 'schema', 'plugins']) await mkdir(join(folder, name));
  const cookie = join(folder, '.erlang.cookie');
  await writeFile(cookie, 'ONLYFORTESTS');
  await chmod(cookie, 0o400);
  await writeFile(join(folder, 'env.conf'), '');
  await writeFile(join(folder, 'enabled_plugins'), '[rabbitmq_management].');
  await writeFile(
    join(folder, 'rabbitmq.conf'),
    `management.tcp.ip = 127.0.0.1
management.tcp.port = ${management}
listeners.ssl.1 = 127.0.0.1:${tls}
ssl_options.cacertfile = ${folder}/ca.pem
ssl_options.certfile = ${folder}/server.pem
ssl_options.keyfile = ${folder}/server.key
ssl_options.verify = verify_none
log.console = false
log.file.level = warning
disk_free_limit.absolute = 50MB
`,
  );
}

/** An authority and a server certificate of it. Answers with the authority's. */
async function makeCertificates(folder: string): Promise<string> {
  const openssl = (...args: string[]) => execute('openssl', args, { cwd: folder, timeout: 120_000 });
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...made, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=only for tests', '-days', '2');
  await openssl('req', ...made, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
  await writeFile(join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1');
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names'];
  await openssl('x509', '-req', '-in', 'server.csr', '-out', 'server.pem', ...sign);
  return await readFile(join(folder, 'ca.pem'), 'utf8');
}

function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    for (const event of ['connect', 'error'] as const) {
      socket.once(event, () => {
        done(event === 'connect');
        socket.destroy();
      });
    }
  });
}

/** A process and what it started, where it leads a group; a process alone otherwise. */
async function killGroup(child: ChildProcess | undefined): Promise<void> {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
  await exited;
}
