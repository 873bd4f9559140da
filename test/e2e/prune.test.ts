import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callRaw } from '../../shared/client.ts';
import { type Ran, run } from '../support/cli.ts';
import { until } from '../support/until.ts';
import { leading, type NodeProcess, startNodeProcess } from './support/node-process.ts';

const ALL = `
storage: { buckets: [{ name: captures, tags: { team: vision } }, { name: filled }, { name: reports, lifecycle: [{ id: old, expire_days: 30 }] }] }
broker:
  exchanges: [{ name: events, type: topic }]
  queues: [{ name: frames }, { name: stays }]
  bindings: [{ exchange: events, queue: frames, key: "a.#" }]
vector: { classes: [{ name: Frame, dimensions: 3 }, { name: Kept }] }
`;
const LESS = `
storage: { buckets: [{ name: reports }] }
broker: { queues: [{ name: stays }] }
vector: { classes: [{ name: Kept }] }
`;

let folder: string;
let node: NodeProcess;
const dataDir = () => join(folder, 'state');
const cli = (...argv: string[]): Promise<Ran> => run(argv, { env: { BOOTPLANE_DATA_DIR: dataDir() } });

async function publish(text: string, generation: number): Promise<void> {
  const path = join(folder, `${generation}.yaml`);
  await writeFile(path, text);
  expect(await cli('profile', 'publish', path, '--yes')).toMatchObject({ code: 0 });
  await applied(generation);
}

async function applied(generation: number): Promise<void> {
  await until(`generation ${generation} applied`, async () => {
    const { components = {} } = (await node.client.health()).body;
    const { storage, broker, vector } = components;
    return [storage, broker, vector].every((one) => one?.generation === generation && one.status !== 'failed') || undefined;
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-e2e-prune-'));
  await mkdir(dataDir());
  node = await startNodeProcess({ dataDir: dataDir() });
  await leading(node);
  await publish(ALL, 1);
});

afterAll(async () => {
  await node?.end('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

const subjects = async () => {
  const { components } = (await node.client.prunePreview()).body;
  return components.flatMap(({ actions }) => actions.map(({ subject }) => subject));
};

describe('prune on a node with the embedded defaults', () => {
  it('has nothing to remove while the profile names all of it', async () => {
    const { code, out } = await cli('prune');
    expect(
      out
        .split('\n')
        .filter((line) => line !== '')
        .every((line) => line.endsWith(': nothing to remove')),
    ).toBe(true);
    expect(code).toBe(0);
  });

  it('shows what the profile has left out, also after the node was killed, and what is in it', async () => {
    const credential = await readKey();
    await callRaw({ url: node.url, credential }, { method: 'PUT', path: '/v1/objects/filled/key', body: 'a body' });
    await publish(LESS, 2);
    await node.end('SIGKILL');
    node = await startNodeProcess({ dataDir: dataDir() });
    await applied(2);
    const { code, out } = await cli('prune');
    expect(code).toBe(2);
    expect(out).toContain('queue frames');
    expect(out).toContain('holds 1 object, 6 bytes');
    expect((await subjects()).toSorted()).toEqual(
      [
        'binding events to frames "a.#"',
        'queue frames',
        'exchange events',
        'bucket captures',
        'bucket filled',
        'lifecycle rule old of bucket reports',
        'class Frame',
      ].toSorted(),
    );
  });

  it('removes what was approved and is empty, and then, approved once more, what is not', async () => {
    const { hash = '' } = (await node.client.prunePreview()).body;
    const first = await cli('prune', '--approve', hash);
    expect(first.code).toBe(2);
    expect(first.out).toContain('6 of 7 done, approved by fleet-key (operator)');
    expect(await subjects()).toEqual(['bucket filled']);
    expect(await cli('prune', '--approve', hash)).toMatchObject({ code: 1, err: expect.stringContaining('prune_expired') });
    const { hash: next = '' } = (await node.client.prunePreview()).body;
    expect(await cli('prune', '--approve', next, '--include-non-empty')).toMatchObject({ code: 0 });
    expect(await subjects()).toEqual([]);
    expect((await cli('prune')).code).toBe(0);
    // The node tells its own Supervisor when it has answered.
    await until('the removal to be told', async () => {
      const told = /prune bucket filled {2}applied {2}remove-bucket on fs at \S+, approved by fleet-key \(operator\)/;
      return told.test((await cli('events')).out) || undefined;
    });
  });

  it('a profile that names it again makes it anew', async () => {
    await publish(ALL, 3);
    expect((await node.client.reconcileDiff()).body.components.flatMap(({ actions }) => actions)).toEqual([]);
    expect(await subjects()).toEqual([]);
  });
});

async function readKey(): Promise<string> {
  return (await readFile(join(dataDir(), 'fleet.key'), 'utf8')).trim();
}
