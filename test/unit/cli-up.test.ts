import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunningNode } from '../../runtime-node/commands/io.ts';
import { type Config, SETTINGS, type SettingName } from '../../runtime-node/config.ts';
import { type RunOptions, run } from '../support/cli.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-up-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A node that notes what is asked of it; the real one is driven in test/e2e. */
function notedNode() {
  const calls: string[] = [];
  const configs: Config[] = [];
  const stopped = Promise.withResolvers<number>();
  const node: RunningNode = {
    url: 'http://127.0.0.1:7420',
    stopped: stopped.promise,
    stop: async () => void calls.push('stop'),
    leave: async () => void calls.push('leave'),
    kill: () => void calls.push('kill'),
  };
  let handler: () => void = () => undefined;
  const options = (start: () => Promise<void> = async () => undefined): RunOptions => ({
    startNode: async (config) => {
      configs.push(config);
      await start();
      return node;
    },
    onStopRequest: (one) => {
      handler = one;
      return () => void calls.push('no longer listens');
    },
    quit: (code) => {
      calls.push(`quit ${code}`);
      stopped.resolve(code);
    },
  });
  return { calls, configs, options, signal: () => handler(), finish: (code: number) => stopped.resolve(code) };
}

const up = (options: RunOptions, ...argv: string[]) => run(['up', '--data-dir', folder, ...argv], options);

describe('up', () => {
  it('hands the settings over and exits as the node does', async () => {
    const noted = notedNode();
    noted.finish(0);
    const flags = ['--no-lead', '--no-mdns', '--port', '0', '--site', 'berlin', '--peers', 'http://10.0.0.1:7420', '--log', 'json'];
    expect(await up(noted.options(), ...flags)).toEqual({ code: 0, out: '', err: '' });
    expect(noted.configs).toMatchObject([
      { data_dir: folder, lead: false, mdns: false, port: 0, site: 'berlin', peers: ['http://10.0.0.1:7420'], log: 'json', seeds: {} },
    ]);
    const failed = notedNode();
    failed.finish(1);
    expect((await up(failed.options())).code).toBe(1);
  });

  it('without the flags leads and uses multicast DNS', async () => {
    const noted = notedNode();
    noted.finish(0);
    await up(noted.options());
    expect(noted.configs).toMatchObject([{ lead: true, mdns: true }]);
  });

  /** The text of the flag, what it is read as, and another text for the variable. */
  const SAMPLES: Partial<Record<SettingName, [string, unknown, string]>> = {
    data_dir: ['/srv/node', '/srv/node', '/elsewhere'],
    host: ['::1', '::1', '127.0.0.1'],
    port: ['9', 9, '10'],
    advertise_url: ['http://10.1.1.1:7420', 'http://10.1.1.1:7420', 'http://10.1.1.2'],
    fleet: ['chain', 'chain', 'other'],
    site: ['berlin', 'berlin', 'other'],
    node_id: ['node-7', 'node-7', 'other'],
    capabilities: ['gpu', ['gpu'], 'camera'],
    cloud_url: ['https://c.example', 'https://c.example', 'https://d.example'],
    lead: ['', false, 'on'],
    mdns: ['', false, 'on'],
    interfaces: ['eth0,eth1', ['eth0', 'eth1'], 'lo'],
    peers: ['http://p', ['http://p'], 'http://q'],
    ttl_seconds: ['7', 7, '8'],
    write_budget: ['5000', 5000, '6000'],
    rate_limit: ['9', 9, '10'],
    log: ['json', 'json', 'text'],
  };

  it.each(SETTINGS.filter(({ flag, name }) => flag !== undefined && !['url', 'plan_file', 'profile_file'].includes(name)))(
    'takes $name from --$flag before $env',
    async ({ name, flag, env }) => {
      const [text, value, other] = SAMPLES[name] ?? expect.fail(`${name} has no sample`);
      const noted = notedNode();
      noted.finish(0);
      const words = text === '' ? [`--${flag}`] : [`--${flag}`, text];
      const { code } = await run(['up', ...words], { ...noted.options(), env: { HOME: folder, [env]: other } });
      expect(code).toBe(0);
      expect(noted.configs[0]?.[name]).toEqual(value);
    },
  );

  it('--examples seeds both documents, with the real path of the service', async () => {
    const noted = notedNode();
    noted.finish(0);
    await up(noted.options(), '--examples');
    const seeds = noted.configs[0]?.seeds;
    expect(Object.keys(seeds ?? {})).toEqual(['plan', 'profile']);
    const server = new URL('../../docs/examples/service/server.js', import.meta.url).pathname;
    expect(seeds?.plan).toMatchObject({ services: [{ name: 'hello', command: ['node', server] }] });
  });

  it('a file that is named wins over the example', async () => {
    await writeFile(join(folder, 'plan.yaml'), 'services: []\n');
    const noted = notedNode();
    noted.finish(0);
    await up({ ...noted.options(), env: { BOOTPLANE_PLAN: join(folder, 'plan.yaml') } }, '--examples');
    expect(noted.configs[0]?.seeds.plan).toEqual({ services: [] });
    expect(noted.configs[0]?.seeds.profile).toHaveProperty('storage');
  });

  it('starts nothing with a seed that is not valid, and says where', async () => {
    const path = join(folder, 'plan.yaml');
    await writeFile(path, 'services:\n  - name: api\n');
    const noted = notedNode();
    const { code, err } = await up(noted.options(), '--plan', path);
    expect(code).toBe(1);
    expect(err).toContain(`${path}:2:5 /services/0/version is missing`);
    expect(noted.configs).toEqual([]);
  });

  it('starts nothing with a mode that is half set', async () => {
    const noted = notedNode();
    const { code, err } = await up({ ...noted.options(), env: { BOOTPLANE_JWKS_URL: 'https://keys.example' } });
    expect(code).toBe(64);
    expect(err).toContain('BOOTPLANE_JWKS_URL is set');
    expect(noted.configs).toEqual([]);
  });

  it('the first request to stop stops in order, the second by force', async () => {
    const noted = notedNode();
    let now = 1000;
    const running = up({ ...noted.options(), now: () => now });
    await expect.poll(() => noted.configs.length).toBe(1);
    noted.signal();
    expect(noted.calls).toEqual(['stop']);
    now += 250;
    noted.signal();
    await running;
    expect(noted.calls).toEqual(['stop', 'kill', 'quit 130', 'no longer listens']);
  });

  it('one Ctrl-C that arrives twice, from the terminal and by way of npm, is one request', async () => {
    const noted = notedNode();
    let now = 1000;
    const running = up({ ...noted.options(), now: () => now });
    await expect.poll(() => noted.configs.length).toBe(1);
    noted.signal();
    now += 249;
    noted.signal();
    expect(noted.calls).toEqual(['stop']);
    noted.finish(0);
    expect((await running).code).toBe(0);
  });

  it('a request to stop that comes during the start is kept', async () => {
    const noted = notedNode();
    const starting = Promise.withResolvers<void>();
    const running = up(noted.options(() => starting.promise));
    await expect.poll(() => noted.configs.length).toBe(1);
    noted.signal();
    starting.resolve();
    await expect.poll(() => noted.calls).toEqual(['stop']);
    noted.finish(0);
    expect((await running).code).toBe(0);
  });

  it.each(['during the start', 'later'])('a stop that fails says why, once, when it was asked for %s', async (when) => {
    const noted = notedNode();
    const starting = Promise.withResolvers<void>();
    const { startNode, ...options } = noted.options(() => starting.promise);
    const ended = Promise.withResolvers<number>();
    let started = false;
    const fault = Object.assign(new Error('the lease could not be read'), { name: 'DatabaseError' });
    const running = up({
      ...options,
      startNode: async (config) => {
        const node = (await startNode?.(config)) ?? expect.fail();
        const stop = () => {
          ended.reject(fault);
          return Promise.reject(fault);
        };
        started = true;
        return { ...node, stop, stopped: ended.promise };
      },
    });
    await expect.poll(() => noted.configs.length).toBe(1);
    if (when === 'during the start') noted.signal();
    starting.resolve();
    await expect.poll(() => started).toBe(true);
    if (when === 'later') noted.signal();
    expect(await running).toMatchObject({ code: 1, err: 'error: the lease could not be read\n' });
  });

  it('a start that fails says why', async () => {
    const { code, err } = await up({
      startNode: () => Promise.reject(Object.assign(new Error('port 7420 is taken'), { name: 'ListenError' })),
    });
    expect(code).toBe(1);
    expect(err).toBe('error: port 7420 is taken\n');
  });

  it('a fault of bootplane itself is shown with its stack', async () => {
    const { code, err } = await up({ startNode: () => Promise.reject(new TypeError('x is not a function')) });
    expect(code).toBe(1);
    expect(err).toMatch(/TypeError: x is not a function\n {4}at /);
    expect(err).toContain('Please report this.');
  });
});
