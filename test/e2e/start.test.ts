import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, readSettings } from '../../runtime-node/config.ts';
import { startNode } from '../../runtime-node/node.ts';

let dir: string;
let config: Config;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bootplane-start-'));
  config = { ...readSettings({ HOME: dir }, { data_dir: dir, host: '127.0.0.1', port: '0', log: 'json' }), seeds: {} };
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Starts a node, stops it in order, and gives its exit code. */
async function startAndStop(): Promise<number> {
  const node = await startNode(config);
  await node.stop();
  return node.stopped;
}

describe('a start that fails half way', () => {
  it('lets go of everything: the same process can try again', async () => {
    const bus = join(dir, 'bus.sqlite');
    await writeFile(bus, 'this is no database at all. '.repeat(200));
    await expect(startNode(config)).rejects.toThrow(`${bus} is damaged`);
    await rm(bus);
    expect(await startAndStop()).toBe(0);
  });

  it('without the file that leads commands to it, which a full disk refuses, is no reason not to run', async () => {
    const obstacle = join(dir, 'listen.json');
    await mkdir(obstacle);
    const node = await startNode(config);
    expect((await fetch(`${node.url}/healthz`)).status).toBe(200);
    await rm(obstacle, { recursive: true });
    await node.stop();
    expect(await node.stopped).toBe(0);
  });
});
