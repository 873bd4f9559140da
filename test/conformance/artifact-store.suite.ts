import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { ArtifactError, type ArtifactErrorKind, type ArtifactStore } from '../../shared/ports/artifact-store.ts';

export interface ArtifactStoreHarness {
  readonly store: ArtifactStore;
  /** The largest artifact that it takes, bytes: 1000 or more. */
  readonly max_bytes: number;
  /** Changes one stored byte behind its back. Absent where nothing could notice. */
  damage?(sha256: string): Promise<void>;
  dispose(): Promise<void>;
}

/** What every `ArtifactStore` must do. Web standards only, so that it runs in workerd too. */
export function artifactStoreSuite(name: string, makeHarness: () => Promise<ArtifactStoreHarness>): void {
  describe(`artifact store: ${name}`, () => {
    let harness: ArtifactStoreHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness?.dispose());
    const fresh = async (size = 100) => {
      const bytes = crypto.getRandomValues(new Uint8Array(size));
      return { bytes, sha256: await sha256Hex(bytes) };
    };

    test('what was put is there: whole, in ranges, in the list', async () => {
      const { store } = harness;
      const { bytes, sha256 } = await fresh();
      expect(await store.head(sha256)).toBeUndefined();
      expect(await store.get(sha256)).toBeUndefined();
      expect(await store.put(sha256, chunked(bytes))).toMatchObject({ sha256, size: 100 });
      expect(await store.head(sha256)).toMatchObject({ sha256, size: 100 });
      expect(await readAll(store, sha256)).toEqual(bytes);
      expect(await readAll(store, sha256, { start: 10, end: 19 })).toEqual(bytes.subarray(10, 20));
      expect(await readAll(store, sha256, { start: 99, end: 99 })).toEqual(bytes.subarray(99));
      expect((await store.list({ limit: 1000 })).artifacts).toContainEqual(expect.objectContaining({ sha256, size: 100 }));
    });

    test('an artifact without a byte', async () => {
      const { bytes, sha256 } = await fresh(0);
      expect(await harness.store.put(sha256, chunked(bytes))).toMatchObject({ size: 0 });
      expect(await readAll(harness.store, sha256)).toEqual(bytes);
    });

    test('a body with another hash is refused and nothing of it stays', async () => {
      const { bytes } = await fresh();
      const { sha256 } = await fresh();
      expect(await failure(harness.store.put(sha256, chunked(bytes)))).toBe('mismatch');
      expect(await harness.store.head(sha256)).toBeUndefined();
      expect(await harness.store.head(await sha256Hex(bytes))).toBeUndefined();
    });

    test('a body that breaks off leaves nothing', async () => {
      const { bytes, sha256 } = await fresh();
      expect(await failure(harness.store.put(sha256, broken(bytes.subarray(0, 60))))).toBe('failed');
      expect(await harness.store.head(sha256)).toBeUndefined();
      await harness.store.put(sha256, chunked(bytes));
      expect(await readAll(harness.store, sha256)).toEqual(bytes);
    });

    test('a body that is too large is refused while it comes, and its source is released', async () => {
      const { sha256 } = await fresh();
      let cancelled = false;
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(500)),
        cancel: () => {
          cancelled = true;
        },
      });
      expect(await failure(harness.store.put(sha256, endless))).toBe('too_large');
      expect(cancelled).toBe(true);
      expect(await harness.store.head(sha256)).toBeUndefined();
    });

    test('one that is there is left as it is, and the body is not read', async () => {
      const { bytes, sha256 } = await fresh();
      await harness.store.put(sha256, chunked(bytes));
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>(
        {
          pull: (controller) => {
            pulls += 1;
            controller.enqueue(bytes);
          },
        },
        { highWaterMark: 0 },
      );
      expect(await harness.store.put(sha256, body)).toMatchObject({ sha256, size: 100 });
      expect(pulls).toBe(0);
    });

    test('the same one from several at once is stored once', async () => {
      const { bytes, sha256 } = await fresh();
      const all = await Promise.all([1, 2, 3, 4].map(() => harness.store.put(sha256, chunked(bytes))));
      expect(all.map(({ size }) => size)).toEqual([100, 100, 100, 100]);
      expect(await readAll(harness.store, sha256)).toEqual(bytes);
    });

    test('the list goes on after the last one that it gave', async () => {
      for (let count = 0; count < 3; count += 1) {
        const { bytes, sha256 } = await fresh();
        await harness.store.put(sha256, chunked(bytes));
      }
      const all = (await harness.store.list({ limit: 1000 })).artifacts.map(({ sha256 }) => sha256);
      const first = await harness.store.list({ limit: 2 });
      const rest = await harness.store.list({ limit: 1000, ...(first.next === undefined ? {} : { after: first.next }) });
      expect([...first.artifacts, ...rest.artifacts].map(({ sha256 }) => sha256)).toEqual(all);
      expect(all).toEqual([...all].sort());
      expect(rest.next).toBeUndefined();
    });

    test('a deleted one is gone, and deleting it again is no error', async () => {
      const { bytes, sha256 } = await fresh();
      await harness.store.put(sha256, chunked(bytes));
      await harness.store.delete(sha256);
      await harness.store.delete(sha256);
      expect(await harness.store.head(sha256)).toBeUndefined();
    });

    test('a damaged one is not given out, and can be stored again', async () => {
      if (harness.damage === undefined) return;
      const { bytes, sha256 } = await fresh();
      await harness.store.put(sha256, chunked(bytes));
      await harness.damage(sha256);
      expect(await readAll(harness.store, sha256)).toBeUndefined();
      await harness.store.put(sha256, chunked(bytes));
      expect(await readAll(harness.store, sha256)).toEqual(bytes);
    });
  });
}

/** The bytes in pieces of 33. */
export function chunked(bytes: Uint8Array): ReadableStream<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += 33) pieces.push(bytes.subarray(start, start + 33));
  return new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
}

function broken(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let given = false;
  return new ReadableStream({
    pull(controller) {
      if (given) controller.error(new Error('the connection was reset'));
      else controller.enqueue(bytes);
      given = true;
    },
  });
}

async function readAll(store: ArtifactStore, sha256: string, range?: { start: number; end: number }): Promise<Uint8Array | undefined> {
  const found = await store.get(sha256, range);
  return found && new Uint8Array(await new Response(found.body as BodyInit).arrayBuffer());
}

function failure(call: Promise<unknown>): Promise<ArtifactErrorKind | string> {
  return call.then(
    () => 'stored',
    (error: unknown) => (error instanceof ArtifactError ? error.kind : `not an ArtifactError: ${String(error)}`),
  );
}
