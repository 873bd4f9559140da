import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { S3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import { createAttempts } from '../../shared/reconcile/attempts.ts';
import { createEnvironmentReconciler } from '../../shared/reconcile/reconciler.ts';
import { desiredProfile, memoryBackends, type ProfileInput } from '../support/memory-environment.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { aws, whyNoAws } from './object-storage.s3.aws.ts';
import { watch } from './object-storage.s3.proxy.ts';
import { CEPH, CONFIGURED, openS3, type Store, titled } from './object-storage.s3.support.ts';

// Each call of the foreign client is a Python program that starts: seconds on a busy machine.
vi.setConfig({ testTimeout: 180_000 });

for (const base of [CEPH, CONFIGURED]) {
  const kind = { ...base, missing: base.missing ?? whyNoAws() };
  describe.skipIf(kind.missing !== undefined)(`reconcile on ${titled(kind)}`, () => {
    let store: Store;
    let wire: Awaited<ReturnType<typeof watch>>;
    let storage: S3Storage;
    let names: readonly [string, string];
    beforeAll(async () => {
      store = await kind.start();
      wire = await watch(store.endpoint);
      storage = openS3({ ...store, endpoint: wire.endpoint });
    });
    afterAll(async () => {
      await storage?.close();
      await wire?.close();
      await store?.stop();
    });
    beforeEach(() => {
      names = [`captures-${randomUUID()}`, `models-${randomUUID()}`];
    });

    const profile = (expire_days = 30) => ({
      storage: {
        buckets: [
          {
            name: names[0],
            versioning: true,
            tags: { team: 'vision', area: 'lab 1' },
            lifecycle: [
              { id: 'raw', prefix: 'raw/', expire_days },
              { id: 'all', expire_days: 900 },
            ],
          },
          { name: names[1] },
        ],
      },
    });
    /** A reconciler as after the start of a node. */
    const start = () => {
      const { bus, vector, files } = memoryBackends();
      const [clock, log] = [new SimulatedClock(), recordingLog()];
      const attempts = createAttempts({ files, clock, log });
      return createEnvironmentReconciler({ node_id: 'node-1', storage, bus, vector, clock, log, attempts, report: () => {} });
    };
    const apply = async (input: ProfileInput, generation = 1) => {
      const { length } = wire.writes();
      const { storage: component } = await start().apply(await desiredProfile(input, generation));
      return { component, writes: wire.writes().slice(length) };
    };

    test('the first apply makes all of it, the second sends no write', async () => {
      const first = await apply(profile());
      expect(first.component).toMatchObject({ status: 'applied' });
      // Two buckets, versioning, rules, tags.
      expect(first.writes.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'PUT']);
      const second = await apply(profile());
      expect(second).toMatchObject({ component: { status: 'unchanged' }, writes: [] });
    });

    test('what was taken away by hand is shown and put back, and what others added stays', async () => {
      await apply(profile());
      await aws(store, 'delete-bucket-lifecycle', '--bucket', names[0]);
      const foreign = { TagSet: [{ Key: 'owner', Value: 'somebody' }] };
      await aws(store, 'put-bucket-tagging', '--bucket', names[0], '--tagging', JSON.stringify(foreign));
      await aws(store, 'delete-bucket', '--bucket', names[1]);
      const [drift] = await start().diff(await desiredProfile(profile()));
      expect(drift?.actions.map((action) => action.kind)).toEqual(['ensure-bucket', 'add-lifecycle-rules', 'update-tags']);
      expect((await apply(profile())).component).toMatchObject({ status: 'applied' });
      const [captures] = await storage.readBuckets([names[0]]);
      expect(captures?.tags).toEqual({ owner: 'somebody', team: 'vision', area: 'lab 1' });
      expect(captures?.lifecycle).toHaveLength(2);
      expect(await storage.readBuckets([names[1]])).toHaveLength(1);
      expect((await apply(profile())).writes).toEqual([]);
    });

    test('a longer life is given; a shorter one and suspended versioning want intent', async () => {
      await apply(profile());
      expect((await apply(profile(60), 2)).writes).toHaveLength(1);
      const shorter = await apply(profile(5), 3);
      expect(shorter.writes).toEqual([]);
      expect(shorter.component?.incompatible).toHaveLength(1);
      const suspended = { storage: { buckets: [{ name: names[0], versioning: false }] } };
      expect((await apply(suspended, 4)).writes).toEqual([]);
      const [captures] = await storage.readBuckets([names[0]]);
      expect(captures?.versioning).toBe('enabled');
      expect(captures?.lifecycle).toContainEqual({ id: 'raw', prefix: 'raw/', expire_days: 60 });
    });

    test('a store that is away fails storage with words, and nothing else', async () => {
      const away = openS3({ ...store, endpoint: 'http://127.0.0.1:1' });
      onTestFinished(() => away.close());
      const { bus, vector, files } = memoryBackends();
      const [clock, log] = [new SimulatedClock(), recordingLog()];
      const attempts = createAttempts({ files, clock, log });
      const parts = { node_id: 'node-1', storage: away, bus, vector, clock, log, attempts, report: () => {} };
      const components = await createEnvironmentReconciler(parts).apply(
        await desiredProfile({ ...profile(), broker: { queues: [{ name: 'frames' }] } }),
      );
      expect(components.storage).toMatchObject({
        status: 'failed',
        message: expect.stringContaining('nothing listens at 127.0.0.1 port 1'),
      });
      expect(components.broker?.status).toBe('applied');
    });
  });
}
