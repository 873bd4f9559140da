import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import type { FsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { bodyFiles, openFs, temporaryRoot } from './object-storage.fs.support.ts';

interface Done {
  readonly bucket: string;
  readonly key: string;
  readonly sha256?: string;
}

const ROUNDS = 10;

describe('kill -9 in the middle of puts', () => {
  const root = temporaryRoot();

  test('leaves every listed object whole, every finished step done and nothing else', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      // Killed after another number of steps each time, while four writers are under way.
      const done = await writeUntilKilled(root.path, round, 5 + round * 7);
      const storage = await openFs(root.path);
      try {
        await checkFinishedSteps(storage, done);
        for (const bucket of ['plain', 'versioned']) await checkAllVersions(storage, bucket);
        await storage.sweep();
        expect(await bodyFiles(root.path)).toHaveLength(await countBodies(storage));
      } finally {
        await storage.close();
      }
    }
  });
});

/** The steps that the writer said it had finished. */
async function writeUntilKilled(path: string, round: number, steps: number): Promise<Done[]> {
  const script = resolve(import.meta.dirname, 'object-storage.fs.writer.ts');
  const child = spawn(process.execPath, [script, path, String(round + 1)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const done: Done[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    done.push(JSON.parse(line));
    if (done.length === steps) child.kill('SIGKILL');
  }
  await exited;
  expect(done.length).toBeGreaterThanOrEqual(steps);
  return done;
}

/** A step may have been committed and not yet said, so a key may be one step ahead, but never behind. */
async function checkFinishedSteps(storage: FsStorage, done: readonly Done[]): Promise<void> {
  const versions = new Map<string, (string | undefined)[]>();
  for (const bucket of ['plain', 'versioned'])
    for (const { key, sha256 } of await storage.listVersions(bucket)) {
      const known = versions.get(`${bucket}/${key}`) ?? [];
      versions.set(`${bucket}/${key}`, [...known, sha256]);
    }
  const last = new Map(done.map((step) => [`${step.bucket}/${step.key}`, step]));
  for (const step of done) {
    const kept = versions.get(`${step.bucket}/${step.key}`) ?? [];
    if (step.bucket === 'versioned' && step.sha256 !== undefined) expect(kept).toContain(step.sha256);
  }
  const lanesAhead = [...last.entries()].filter(([name, { bucket, sha256 }]) => bucket === 'plain' && versions.get(name)?.[0] !== sha256);
  // Each of the four writers has at most one step under way.
  expect(lanesAhead.length).toBeLessThanOrEqual(4);
}

async function checkAllVersions(storage: FsStorage, bucket: string): Promise<void> {
  for (const { key, version_id, size, delete_marker } of await storage.listVersions(bucket)) {
    if (delete_marker) continue;
    const { body } = await storage.get(bucket, key, { version_id });
    expect((await new Response(body as BodyInit).arrayBuffer()).byteLength).toBe(size);
  }
  for (const { key, size } of (await storage.list(bucket)).objects) expect((await storage.head(bucket, key)).size).toBe(size);
}

async function countBodies(storage: FsStorage): Promise<number> {
  const versions = [...(await storage.listVersions('plain')), ...(await storage.listVersions('versioned'))];
  return versions.filter(({ delete_marker }) => !delete_marker).length;
}
