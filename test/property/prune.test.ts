import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PrunePreview } from '../../shared/contract/prune.ts';
import type { ProfileInput } from '../support/memory-environment.ts';
import { pruneWorld } from '../support/prune-world.ts';
import { compatibleProfile } from './reconcile.arbitraries.ts';

type World = ReturnType<typeof pruneWorld>;

/** What somebody else does beside bootplane. */
const BUCKETS = ['bucket-0', 'bucket-1', 'bucket-2', 'foreign'];
const CLASSES = ['Class0', 'Class1', 'Class2', 'Foreign'];
const QUEUES = ['queue-0', 'queue-1', 'queue-2', 'foreign'];
const EXCHANGES = ['exchange-0', 'exchange-1', 'exchange-2', 'foreign'];
const pick = (names: readonly string[]) => fc.constantFrom(...names);

type Foreign =
  | { readonly does: 'make-bucket' | 'drop-bucket' | 'remake-bucket' | 'fill-bucket' | 'tag-bucket'; readonly name: string }
  | { readonly does: 'make-class' | 'drop-class' | 'remake-class'; readonly name: string }
  | { readonly does: 'make-queue' | 'drop-queue' | 'remake-queue' | 'fill-queue'; readonly name: string }
  | { readonly does: 'make-exchange'; readonly name: string };

const foreign: fc.Arbitrary<Foreign> = fc.oneof(
  fc.record({ does: fc.constantFrom('make-bucket', 'drop-bucket', 'remake-bucket', 'fill-bucket', 'tag-bucket'), name: pick(BUCKETS) }),
  fc.record({ does: fc.constantFrom('make-class', 'drop-class', 'remake-class'), name: pick(CLASSES) }),
  fc.record({ does: fc.constantFrom('make-queue', 'drop-queue', 'remake-queue', 'fill-queue'), name: pick(QUEUES) }),
  fc.record({ does: fc.constant('make-exchange'), name: pick(EXCHANGES) }),
);

interface Approval {
  readonly include: boolean;
  /** What others do between the preview and the approval. */
  readonly between: readonly Foreign[];
  readonly wrong: 'hash' | 'late' | undefined;
}

/** Something is made, others act, the profile names something else, others act again, and somebody prunes. */
interface Round extends Approval {
  readonly profiles: readonly ProfileInput[];
  readonly before: readonly Foreign[];
  readonly after: readonly Foreign[];
}

const few = fc.array(foreign, { maxLength: 3 });
const round: fc.Arbitrary<Round> = fc.record({
  profiles: fc.tuple(compatibleProfile, compatibleProfile),
  before: few,
  after: few,
  include: fc.boolean(),
  between: few,
  wrong: fc.constantFrom(undefined, undefined, undefined, 'hash', 'late'),
});

/** Who made what stands there now, as the world knows it and bootplane has to find out. */
interface Truth {
  readonly foreign: Set<string>;
  messages: number;
}

const FOREIGN_ARGUMENTS = { 'x-max-length': 9 };
const bytes = new TextEncoder().encode('x');

/** Somebody else. A queue of theirs is another one than a profile of these tests asks for: no broker keeps who made it. */
async function act(world: World, truth: Truth, { does, name }: Foreign): Promise<void> {
  const { storage, bus, vector } = world.backends;
  const there = snapshotOf(await read({ storage, bus, vector }));
  const claim = (thing: string) => {
    if (!there.has(thing)) truth.foreign.add(thing);
  };
  switch (does) {
    case 'make-bucket':
      claim(`bucket ${name}`);
      return storage.ensureBucket(name);
    case 'drop-bucket':
      truth.foreign.delete(`bucket ${name}`);
      return storage.dropBucket(name);
    case 'remake-bucket':
      storage.dropBucket(name);
      return act(world, truth, { does: 'make-bucket', name });
    case 'remake-class':
      vector.dropClass(name);
      return act(world, truth, { does: 'make-class', name });
    case 'remake-queue':
      bus.dropQueue(name);
      return act(world, truth, { does: 'make-queue', name });
    case 'fill-bucket':
      if (there.has(`bucket ${name}`)) await storage.put(name, `key-${truth.messages++}`, bytes);
      return;
    case 'tag-bucket':
      if (there.has(`bucket ${name}`)) await storage.ensureTags(name, { theirs: 'yes' });
      return;
    case 'make-class':
      claim(`class ${name}`);
      return vector.ensureClass({ name, properties: [] });
    case 'drop-class':
      truth.foreign.delete(`class ${name}`);
      return vector.dropClass(name);
    case 'make-queue':
      if (there.has(`queue ${name}`)) return;
      truth.foreign.add(`queue ${name}`);
      return bus.ensureQueue({ name, type: 'classic', arguments: FOREIGN_ARGUMENTS });
    case 'drop-queue':
      truth.foreign.delete(`queue ${name}`);
      return bus.dropQueue(name);
    case 'fill-queue':
      if (there.has(`queue ${name}`)) await bus.publish({ exchange: '', key: name, body: bytes, message_id: `m-${truth.messages++}` });
      return;
    case 'make-exchange':
      if (there.has(`exchange ${name}`)) return;
      truth.foreign.add(`exchange ${name}`);
      return bus.ensureExchange({ name, type: 'fanout' });
    default:
      return does satisfies never;
  }
}

async function apply(world: World, truth: Truth, profile: ProfileInput | undefined): Promise<void> {
  const before = snapshotOf(await read(world.backends));
  await world.apply(profile);
  // What an apply has made anew is not theirs any more.
  for (const thing of snapshotOf(await read(world.backends))) if (!before.has(thing)) truth.foreign.delete(thing);
}

async function read({ storage, bus, vector }: Pick<World['backends'], 'storage' | 'bus' | 'vector'>) {
  const { exchanges, queues, bindings } = bus.everything();
  const filled = await Promise.all(queues.map(async ({ name }) => ({ name, count: (await bus.queueStats(name)).ready })));
  const buckets = await storage.readBuckets(BUCKETS);
  const objects = await Promise.all(buckets.map(async ({ name }) => ({ name, count: (await storage.bucketStats(name)).objects })));
  return { exchanges, queues, bindings, filled, buckets, objects, classes: await vector.readClasses(CLASSES) };
}

type Read = Awaited<ReturnType<typeof read>>;

function snapshotOf({ exchanges, queues, buckets, classes }: Read): Set<string> {
  return new Set([
    ...exchanges.map(({ name }) => `exchange ${name}`),
    ...queues.map(({ name }) => `queue ${name}`),
    ...buckets.map(({ name }) => `bucket ${name}`),
    ...classes.map(({ name }) => `class ${name}`),
  ]);
}

function namedBy(world: World): Set<string> {
  const { storage, broker, vector } = world.node.profile?.body ?? {};
  return new Set([
    ...(broker?.exchanges ?? []).map(({ name }) => `exchange ${name}`),
    ...(broker?.queues ?? []).map(({ name }) => `queue ${name}`),
    ...(storage?.buckets ?? []).map(({ name }) => `bucket ${name}`),
    ...(vector?.classes ?? []).map(({ name }) => `class ${name}`),
  ]);
}

async function prune(world: World, truth: Truth, { include, between, wrong }: Approval): Promise<void> {
  const preview: PrunePreview = await world.preview();
  for (const one of between) await act(world, truth, one);
  if (wrong === 'late') await world.clock.advance(600_000);
  const hash = wrong === 'hash' || preview.hash === undefined ? 'f'.repeat(64) : preview.hash;
  const before = await read(world.backends);
  const answer = await world.prune.run({ hash, include_non_empty: include }, 'somebody');
  const after = await read(world.backends);
  if ('refused' in answer) expect(after).toEqual(before);
  if (wrong !== undefined || preview.hash === undefined) expect(answer).toHaveProperty('refused.code', 'prune_expired');
  const gone = [...snapshotOf(before)].filter((thing) => !snapshotOf(after).has(thing));
  expect(gone.filter((thing) => truth.foreign.has(thing))).toEqual([]);
  expect(gone.filter((thing) => namedBy(world).has(thing))).toEqual([]);
  const shown = new Set(preview.components.flatMap(({ actions }) => actions.map(({ subject }) => subject)));
  expect(gone.filter((thing) => !shown.has(thing))).toEqual([]);
  const wasEmpty = new Set(
    preview.components.flatMap(({ actions }) => actions.filter(({ evidence }) => evidence.empty).map(({ subject }) => subject)),
  );
  expectNothingLost(before, include ? gone.filter((thing) => wasEmpty.has(thing)) : gone);
  for (const bucket of after.buckets) {
    // A tag of theirs stays on whatever bucket stays.
    const was = before.buckets.find(({ name }) => name === bucket.name);
    expect(bucket.tags.theirs).toBe(was?.tags.theirs);
  }
}

function expectNothingLost({ filled, objects }: Read, gone: readonly string[]): void {
  expect(filled.filter(({ name, count }) => count > 0 && gone.includes(`queue ${name}`))).toEqual([]);
  expect(objects.filter(({ name, count }) => count > 0 && gone.includes(`bucket ${name}`))).toEqual([]);
}

describe('whatever profiles are applied, whatever others do, and whatever is approved', () => {
  test('nothing foreign goes, nothing that the profile names, nothing that was not shown, and a wrong hash does nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 3 }), async (rounds) => {
        const world = pruneWorld();
        const truth: Truth = { foreign: new Set(), messages: 0 };
        for (const { profiles, before, after, ...approval } of rounds) {
          for (const [profile, acts] of [
            [profiles[0], before],
            [profiles[1], after],
          ] as const) {
            await apply(world, truth, profile);
            for (const one of acts) await act(world, truth, one);
          }
          await prune(world, truth, approval);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('what a profile has left out and nobody has touched is all gone after one approval, and a second finds nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(compatibleProfile, { minLength: 2, maxLength: 5 }), async (profiles) => {
        const world = pruneWorld();
        for (const profile of profiles) await world.apply(profile);
        const preview = await world.preview();
        if (preview.hash !== undefined) await world.approve(preview, true);
        const again = await world.preview();
        if (again.refused.length > 0) return;
        expect(again.components.flatMap(({ actions }) => actions)).toEqual([]);
        const named = namedBy(world);
        const left = [...snapshotOf(await read(world.backends))].filter((thing) => !named.has(thing) && !thing.startsWith('exchange '));
        expect(left).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
