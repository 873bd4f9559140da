import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Ran, run } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';

/** A copy of the examples on a port of its own, run by a real node in a process of its own. */
let folder: string;
let examples: string;
let port: number;
let node: NodeProcess;

const cli = (...argv: string[]): Promise<Ran> => run(argv, { env: { BOOTPLANE_DATA_DIR: join(folder, 'state') } });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-e2e-cli-'));
  // when the tests run as root, services run as another user, who must get to their folder
  await chmod(folder, 0o711);
  await mkdir(join(folder, 'state'), { mode: 0o711 });
  examples = join(folder, 'examples');
  port = await freePort();
  await cp(new URL('../../docs/examples', import.meta.url).pathname, examples, { recursive: true });
  // the service itself stays where every user may read it
  const service = new URL('../../docs/examples/service', import.meta.url).pathname;
  const plan = (await readFile(join(examples, 'plan.yaml'), 'utf8'))
    .replaceAll('7480', String(port))
    .replace('timeout_seconds: 1', 'timeout_seconds: 30')
    .replace('grace_seconds: 10', 'grace_seconds: 120');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands in the file
  await writeFile(join(examples, 'plan.yaml'), plan.replace('${BOOTPLANE_FILE_DIR}/service', service));
  node = await startNodeProcess({
    dataDir: join(folder, 'state'),
    args: ['--plan', join(examples, 'plan.yaml'), '--profile', join(examples, 'profile.yaml')],
  });
  await until('all components applied', async () => {
    const { status: health, components = {} } = (await node.client.health()).body;
    const applied = Object.values(components).filter(({ status }) => status === 'applied' || status === 'unchanged');
    return health === 'ok' && applied.length === 4;
  });
});

afterAll(async () => {
  await node?.end('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

describe('a node with the examples', () => {
  it('runs the service, which says who runs it', async () => {
    const { node_id } = (await node.client.health()).body;
    const hello = await (await fetch(`http://127.0.0.1:${port}/`)).json();
    expect(hello).toEqual({ message: 'hello', node_id, version: '1.0.0' });
  });

  it('status, nodes and doctor find nothing wrong', async () => {
    const status = await cli('status');
    expect(status.code).toBe(0);
    expect(status.out).toMatch(/^bootplane ok$/m);
    for (const name of ['storage', 'broker', 'vector', 'services'])
      expect(status.out).toMatch(new RegExp(`^${name} +(applied|unchanged) `, 'm'));
    expect(status.out).toMatch(/^hello +1\.0\.0 +running/m);
    // Its services come with its next heartbeat.
    await until('the service in the list of nodes', async () => /leader +online .*hello$/m.test((await cli('nodes')).out));
    const doctor = await cli('doctor', '--json', '--peers', node.url);
    expect(JSON.parse(doctor.out).checks.filter(({ status }: { status: string }) => status === 'fail')).toEqual([]);
    expect(JSON.parse(doctor.out).checks).toContainEqual(expect.objectContaining({ name: 'peers', status: 'ok' }));
    expect(doctor.code).toBe(0);
  });

  it('reconcile --dry-run finds nothing to do after an apply, and says what a changed profile would do', async () => {
    const idle = await cli('reconcile', '--dry-run', '--json');
    expect(
      JSON.parse(idle.out).components.map(({ component, actions }: { component: string; actions: unknown[] }) => [component, actions]),
    ).toEqual([
      ['storage', []],
      ['broker', []],
      ['vector', []],
      ['services', []],
    ]);
    expect(idle.code).toBe(0);
  });

  it('diff says what another profile and another plan would do here, and publish shows it before it asks', async () => {
    const changed = { storage: { buckets: [{ name: 'drafted' }] }, broker: { queues: [{ name: 'drafts' }] } };
    const file = join(folder, 'drafted.json');
    await writeFile(file, JSON.stringify(changed));
    const profile = await cli('diff', file);
    expect(profile.code).toBe(2);
    expect(profile.out).toMatch(/storage \(fs\):\n +add +bucket drafted +ensure-bucket\n/);
    expect(profile.out).toMatch(/broker \(local\):\n +add +queue drafts +ensure-queue\n/);
    expect(profile.out).not.toContain('services');
    await writeFile(join(folder, 'no-services.json'), JSON.stringify({ services: [] }));
    const plan = await cli('diff', join(folder, 'no-services.json'), '--json');
    expect(JSON.parse(plan.out).components).toMatchObject([
      { component: 'services', actions: [{ kind: 'stop-service', subject: 'service hello' }] },
    ]);
    const asked = await cli('profile', 'publish', file);
    expect(asked.code).toBe(1);
    expect(asked.out).toContain('bucket drafted  ensure-bucket');
    expect((await cli('diff')).code).toBe(0);
  });

  it('why tells that it elected itself', async () => {
    const { code, out } = await cli('why');
    expect(code).toBe(0);
    expect(out).toMatch(/itself +found/);
  });

  it('logs has what the service printed', async () => {
    await until('its first line', async () => (await cli('logs', 'hello')).out.includes(`version 1.0.0, on port ${port}`));
  });

  it('events has a step of each component', async () => {
    await until('events of four components', async () => {
      const { out } = await cli('events', '-n', '100', '--json');
      const components = new Set(
        out
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line).data.component),
      );
      return ['storage', 'broker', 'vector', 'services'].every((one) => components.has(one)) || undefined;
    });
  });

  it('a published profile is applied, and taking a bucket out of it deletes nothing', async () => {
    const published = parse((await cli('profile', 'get')).out);
    const more = join(folder, 'more.json');
    published.storage.buckets.push({ name: 'added' });
    await writeFile(more, JSON.stringify(published));
    expect((await cli('profile', 'diff', more)).out).toContain('+ storage/buckets/added');
    expect((await cli('profile', 'publish', more, '--yes')).out).toContain('published generation 1');
    await storageAt(1);
    expect((await cli('profile', 'publish', join(examples, 'profile.yaml'), '--yes')).code).toBe(0);
    await storageAt(2);
    const actions = await until('the events of generation 2', async () => {
      const events = await storageEvents();
      return events.some(({ action, generation }) => action === 'reconcile' && generation === 2)
        ? events.map(({ action }) => action)
        : undefined;
    });
    expect(actions.filter((action) => /^ensure-bucket.*added/.test(action))).toHaveLength(1);
    expect(actions.filter((action) => /delete|remove|destroy/.test(action))).toEqual([]);
  });

  it('a second node on the same data directory is refused with who has it', async () => {
    const second = startNodeProcess({ dataDir: join(folder, 'state'), env: { BOOTPLANE_API_KEY: 'unused, but long enough' } });
    await expect(second).rejects.toThrow(/ended with 1.*in use by process \d+/s);
  });
});

it('a node goes on when the reader of its log is gone, and a command ends quietly', async () => {
  node.child.stdout?.destroy();
  node.child.stderr?.destroy();
  const published = parse((await cli('profile', 'get')).out);
  published.storage.buckets.push({ name: 'more' });
  await writeFile(join(folder, 'more.json'), JSON.stringify(published));
  expect((await cli('profile', 'publish', join(folder, 'more.json'), '--yes')).code).toBe(0);
  await storageAt(3);
  const reader = spawnCli(['events', '-f', '--data-dir', join(folder, 'state')]);
  reader.stdout?.once('data', () => reader.stdout?.destroy());
  const ended = new Promise((resolve) => reader.once('exit', (code, signal) => resolve(code ?? signal)));
  // the next event finds nobody to read it
  published.storage.buckets.push({ name: 'still-more' });
  await writeFile(join(folder, 'more.json'), JSON.stringify(published));
  await until('the reader has ended', async () => {
    if (reader.stdout?.destroyed !== true) return undefined;
    await cli('profile', 'publish', join(folder, 'more.json'), '--yes');
    return true;
  });
  expect(await ended).toBe(0);
});

it('a node that was stopped in order leaves no trace of listening', async () => {
  expect(await node.end('SIGTERM')).toBe(0);
  const status = await cli('status');
  expect(status.code).toBe(69);
  expect(status.err).toContain('no node runs');
  expect((await cli('why')).code).toBe(0);
});

function storageAt(generation: number): Promise<unknown> {
  return until(`storage at generation ${generation}`, async () => {
    return (await node.client.health()).body.components?.storage?.generation === generation || undefined;
  });
}

it('a second signal ends a node at once, and the next start takes over what it left', async () => {
  const dataDir = join(folder, 'stubborn');
  await mkdir(dataDir, { mode: 0o711 });
  const command = ['sh', '-c', 'trap "" TERM; echo alive; while :; do sleep 1; done'];
  await writeFile(
    join(folder, 'stubborn.json'),
    JSON.stringify({ services: [{ name: 'stubborn', version: '1', command, stop_grace_seconds: 10 }] }),
  );
  const first = await startNodeProcess({ dataDir, args: ['--plan', join(folder, 'stubborn.json')] });
  await runsStubborn(first);
  first.child.kill('SIGINT');
  const signalled = Date.now();
  // A signal that follows at once counts as the same one.
  await until('it stops its service', async () => (await stateOf(first)) === 'stopping' && Date.now() - signalled > 300);
  expect(await first.end('SIGINT')).toBe(130);
  const gone = await run(['status', '--data-dir', dataDir]);
  expect(gone).toMatchObject({ code: 69, err: expect.stringContaining('is gone') });
  const second = await startNodeProcess({ dataDir, args: ['--plan', join(folder, 'stubborn.json')] });
  await runsStubborn(second);
  expect(await second.end('SIGINT')).toBe(0);
  // one start only: the second node adopted it
  expect((await run(['logs', 'stubborn', '--data-dir', dataDir])).out).toBe('alive\n');
});

async function stateOf(one: NodeProcess): Promise<string | undefined> {
  return (await one.client.health()).body.services?.find(({ name }) => name === 'stubborn')?.state;
}

function runsStubborn(one: NodeProcess): Promise<unknown> {
  return until(
    'the service runs',
    async () => (await stateOf(one)) === 'running' && (await run(['logs', 'stubborn', '--data-dir', one.dataDir])).out !== '',
  );
}

/** What the storage of the node has reported so far. */
async function storageEvents(): Promise<{ action: string; generation?: number }[]> {
  const { out } = await cli('events', '-n', '1000', '--json');
  const all = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).data);
  return all.filter(({ component }) => component === 'storage');
}
