import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { openFs, temporaryRoot } from './object-storage.fs.support.ts';

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly text: string; readonly if_absent: boolean }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'delete_version'; readonly key: string; readonly nth: number }
  | { readonly kind: 'versioning'; readonly enabled: boolean };

const key = fc.constantFrom('a', 'a/b', 'é');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('put' as const), key, text: fc.string({ maxLength: 5 }), if_absent: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete_version' as const), key, nth: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('versioning' as const), enabled: fc.boolean() }) },
);

/** The bucket as far as two storages can be compared: version ids are their own, so versions are named by their place. */
async function observe(storage: ObjectStorage) {
  const versions = await storage.listVersions('bucket');
  const texts = await Promise.all(
    versions.map(async ({ key, version_id, delete_marker }) =>
      delete_marker ? undefined : await new Response((await storage.get('bucket', key, { version_id })).body as BodyInit).text(),
    ),
  );
  const [state] = await storage.readBuckets(['bucket']);
  return {
    versioning: state?.versioning,
    versions: versions.map(({ key, size, latest, delete_marker }, index) => ({ key, size, latest, delete_marker, text: texts[index] })),
    keys: (await storage.list('bucket')).objects.map(({ key, size }) => [key, size]),
  };
}

/** Leaves out the two things that S3 does and a simpler storage need not: suspending what was never on, a marker for no object. */
async function run(storage: ObjectStorage, step: Step): Promise<unknown> {
  if (step.kind === 'put') return await storage.put('bucket', step.key, new TextEncoder().encode(step.text), { if_absent: step.if_absent });
  if (step.kind === 'versioning') {
    const [state] = await storage.readBuckets(['bucket']);
    return step.enabled || state?.versioning !== 'off' ? await storage.ensureVersioning('bucket', step.enabled) : undefined;
  }
  const versions = (await storage.listVersions('bucket')).filter(({ key }) => key === step.key);
  if (step.kind === 'delete') return versions.length === 0 ? undefined : await storage.delete('bucket', step.key);
  const version = versions[step.nth];
  return version === undefined ? undefined : await storage.delete('bucket', step.key, { version_id: version.version_id });
}

function outcome(storage: ObjectStorage, step: Step): Promise<string> {
  return run(storage, step).then(
    () => 'done',
    (error: unknown) => (error instanceof StorageError ? error.kind : String(error)),
  );
}

describe('random steps', () => {
  const root = temporaryRoot();

  test('leave the file system and the memory storage the same, also after a restart', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        runs += 1;
        const path = `${root.path}/${runs}`;
        const [memory, fs] = [memoryObjectStorage(new SimulatedClock()), await openFs(path)];
        try {
          for (const storage of [memory, fs]) await storage.ensureBucket('bucket');
          for (const one of steps) expect(await outcome(fs, one)).toBe(await outcome(memory, one));
          const expected = await observe(memory);
          expect(await observe(fs)).toEqual(expected);
          await fs.close();
          const again = await openFs(path);
          expect(await observe(again)).toEqual(expected);
          expect(await again.sweep()).toBe(0);
          await again.close();
        } finally {
          await fs.close();
        }
      }),
      { numRuns: 25 },
    );
  });
});
