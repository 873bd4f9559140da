import { afterAll, describe, expect, it } from 'vitest';
import { createR2Artifacts } from '../../../functions/adapters/r2-artifacts.ts';
import { sha256Hex } from '../../../shared/contract/canonical.ts';
import { artifactStoreSuite, chunked } from '../../conformance/artifact-store.suite.ts';
import { bindings } from './harness.ts';

const MIB = 1024 ** 2;
const bucket = bindings.ARTIFACTS;

async function empty(): Promise<void> {
  const { objects } = await bucket.list();
  await bucket.delete(objects.map(({ key }) => key));
}
afterAll(empty);

artifactStoreSuite('R2 in workerd', async () => ({
  store: createR2Artifacts({ bucket, fleet: 'default', max_bytes: 2000 }),
  max_bytes: 2000,
  // R2 itself vouches for the bytes that it keeps: what is left is somebody who writes past the Worker.
  damage: async (sha256) => void (await bucket.put(`default/${sha256}`, 'other bytes')),
  dispose: empty,
}));

describe('an artifact of several parts', () => {
  const store = createR2Artifacts({ bucket, fleet: 'default', part_bytes: 5 * MIB, max_bytes: 12 * MIB });
  const fresh = async (size: number) => {
    const bytes = new Uint8Array(size);
    for (let start = 0; start < size; start += 65_536) crypto.getRandomValues(bytes.subarray(start, Math.min(size, start + 65_536)));
    return { bytes, sha256: await sha256Hex(bytes) };
  };
  const read = async (sha256: string, range?: { start: number; end: number }) =>
    new Uint8Array(await new Response((await store.get(sha256, range))?.body).arrayBuffer());
  const stream = (bytes: Uint8Array) => new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  const isSame = async (found: Uint8Array<ArrayBuffer>, wanted: Uint8Array<ArrayBuffer>) =>
    (await sha256Hex(found)) === (await sha256Hex(wanted));

  it.each([5 * MIB, 5 * MIB + 1, 10 * MIB, 11 * MIB + 7])('of %d bytes comes back whole, in ranges and in the list', async (size) => {
    const { bytes, sha256 } = await fresh(size);
    expect(await store.put(sha256, stream(bytes))).toMatchObject({ sha256, size });
    expect(await store.head(sha256)).toMatchObject({ sha256, size });
    expect(await isSame(await read(sha256), bytes)).toBe(true);
    expect(await read(sha256, { start: 5 * MIB - 3, end: size - 1 })).toEqual(bytes.subarray(5 * MIB - 3));
    expect((await store.list()).artifacts).toContainEqual(expect.objectContaining({ sha256, size }));
  });

  it('is not there when its hash is another, when it broke off, and when it is too large', async () => {
    const { sha256 } = await fresh(10);
    const { bytes } = await fresh(11 * MIB);
    await expect(store.put(sha256, stream(bytes))).rejects.toMatchObject({ kind: 'mismatch' });
    const broken = stream(bytes).pipeThrough(new TransformStream({ flush: (controller) => controller.error(new Error('cut')) }));
    await expect(store.put(sha256, broken)).rejects.toMatchObject({ kind: 'failed' });
    const large = await fresh(12 * MIB + 1);
    await expect(store.put(large.sha256, stream(large.bytes))).rejects.toMatchObject({ kind: 'too_large' });
    expect(await store.head(sha256)).toBeUndefined();
    expect(await store.head(large.sha256)).toBeUndefined();
  });
});

describe('fleets that share a bucket', () => {
  it('see nothing of each other', async () => {
    const [one, other] = ['one', 'other'].map((fleet) => createR2Artifacts({ bucket, fleet }));
    const bytes = crypto.getRandomValues(new Uint8Array(100));
    const sha256 = await sha256Hex(bytes);
    await one?.put(sha256, chunked(bytes));
    expect(await other?.head(sha256)).toBeUndefined();
    expect(await other?.get(sha256)).toBeUndefined();
    expect((await other?.list())?.artifacts).toEqual([]);
    await other?.delete(sha256);
    expect(await one?.head(sha256)).toMatchObject({ sha256 });
  });
});
