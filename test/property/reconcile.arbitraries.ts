import fc from 'fast-check';
import type { Backends, ProfileInput } from '../support/memory-environment.ts';

/** Small pools of names, so that profiles of one sequence meet on the same things. */
export const BUCKETS = ['bucket-0', 'bucket-1', 'bucket-2', 'foreign'];
export const CLASSES = ['Class0', 'Class1', 'Class2', 'Foreign'];
const EXCHANGES = ['exchange-0', 'exchange-1', 'exchange-2'];
const QUEUES = ['queue-0', 'queue-1', 'queue-2'];
const PREFIXES = ['', 'a/', 'a/b/', 'c/'];

const pick = (...items: string[]) => fc.constantFrom(...items);
const unset = <T extends object>(value: T) => Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));

const rule = fc.record({ id: pick('rule-0', 'rule-1', 'rule-2'), prefix: pick(...PREFIXES), expire_days: fc.integer({ min: 1, max: 4 }) });
const bucket = fc
  .record({
    name: pick('bucket-0', 'bucket-1', 'bucket-2'),
    versioning: fc.option(fc.boolean(), { nil: undefined }),
    tags: fc.dictionary(pick('tag-0', 'tag-1', 'tag-2'), pick('x', 'y'), { maxKeys: 3 }),
    lifecycle: fc.uniqueArray(rule, { maxLength: 3, selector: ({ id }) => id }),
  })
  .map(unset);
const queue = fc
  .record({
    name: pick(...QUEUES),
    type: pick('classic', 'quorum'),
    ttl_ms: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    dlx: fc.option(pick('exchange-0', 'exchange-1'), { nil: undefined }),
    arguments: fc.constantFrom<object>({}, { 'x-max-length': 1 }, { 'x-max-length': 2 }),
  })
  .map(unset);
const property = fc.record({ name: pick('camera', 'Camera', 'at', 'size'), type: pick('text', 'int') });
const vectorClass = fc
  .record({
    name: pick('Class0', 'Class1', 'Class2'),
    dimensions: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    properties: fc.uniqueArray(property, { maxLength: 3, selector: ({ name }) => name.toLowerCase() }),
  })
  .map(unset);

const named = <T>(item: fc.Arbitrary<T>) => fc.uniqueArray(item, { maxLength: 3, selector: (one) => (one as { name: string }).name });

/** Bindings between what the profile itself declares. */
function withBindings(exchanges: readonly { name: string }[], queues: readonly object[]) {
  if (exchanges.length === 0 || queues.length === 0) return fc.constant([]);
  const binding = fc.record({
    exchange: pick(...exchanges.map(({ name }) => name)),
    queue: pick(...queues.map((one) => (one as { name: string }).name)),
    key: pick('', 'a', 'b.#'),
    arguments: fc.constantFrom<object>({}, { 'x-match': 'any', kind: 'jpeg' }),
  });
  return fc.array(binding, { maxLength: 4 });
}

const broker = fc
  .tuple(named(fc.record({ name: pick(...EXCHANGES), type: pick('direct', 'topic', 'fanout', 'headers') })), named(queue))
  .chain(([exchanges, queues]) => withBindings(exchanges, queues).map((bindings) => ({ exchanges, queues, bindings })));

/** Any profile: its parts may contradict those of the others. */
export const anyProfile: fc.Arbitrary<ProfileInput> = fc.record({
  storage: fc.record({ buckets: named(bucket) }),
  broker,
  vector: fc.record({ classes: named(vectorClass) }),
});

/** Profiles that never contradict one another: whatever can't be changed follows from the name. */
export const compatibleProfile: fc.Arbitrary<ProfileInput> = anyProfile.map((profile) => {
  const { storage, broker: wanted, vector } = structuredClone(profile) as Loose;
  for (const one of storage.buckets) {
    if (one.versioning === false) delete one.versioning;
    for (const each of one.lifecycle) Object.assign(each, { prefix: `${each.id}/`, expire_days: 7 });
  }
  for (const one of wanted.exchanges) one.type = 'topic';
  for (const one of wanted.queues) Object.assign(one, { type: 'classic', arguments: {}, ttl_ms: 1000, dlx: 'exchange-0' });
  for (const one of vector.classes) {
    one.dimensions = 3;
    for (const each of one.properties) Object.assign(each, { type: 'text' });
  }
  return { storage, broker: wanted, vector };
});

interface Loose {
  storage: { buckets: { versioning?: boolean; lifecycle: { id: string }[] }[] };
  broker: { exchanges: { type: string }[]; queues: object[]; bindings: object[] };
  vector: { classes: { dimensions?: number; properties: object[] }[] };
}

/** What backends may or may not be able to do. */
export const capabilities = fc.record({
  storage: fc.record({ versioning: fc.boolean(), lifecycle: fc.boolean(), tags: fc.boolean() }),
  bus: fc.record({ alter_ttl: fc.boolean(), queue_types: fc.constantFrom<('classic' | 'quorum')[]>(['classic'], ['classic', 'quorum']) }),
  vector: fc.record({ fixed_dimensions: fc.boolean() }),
});

/** Everything that stands in the three backends. */
export async function readAll({ storage, bus, vector }: Backends) {
  return { buckets: await storage.readBuckets(BUCKETS), ...bus.everything(), classes: await vector.readClasses(CLASSES) };
}

export type Everything = Awaited<ReturnType<typeof readAll>>;

/** Things of others: a bucket, a rule, a tag, a queue, a binding, a class, a property. */
export async function addForeign({ storage, bus, vector }: Backends): Promise<void> {
  const { versioning, lifecycle, tags } = storage.capabilities;
  for (const name of ['foreign', 'bucket-0']) {
    await storage.ensureBucket(name);
    if (versioning) await storage.ensureVersioning(name, true);
    if (lifecycle) await storage.ensureLifecycle(name, [{ id: 'foreign', prefix: 'logs/', expire_days: 9 }]);
    if (tags) await storage.ensureTags(name, { foreign: 'kept' });
  }
  await bus.ensureExchange({ name: 'exchange-0', type: 'topic' });
  for (const name of ['foreign', 'queue-0']) {
    await bus.ensureQueue({ name, type: 'classic', arguments: {}, ttl_ms: 1000, dlx: 'exchange-0' });
    await bus.ensureBinding({ exchange: 'exchange-0', queue: name, key: 'foreign', arguments: {} });
  }
  for (const name of ['Foreign', 'Class0']) {
    await vector.ensureClass({ name, dimensions: 3, properties: [] });
    vector.addForeignProperty(name, 'foreign', 'geoCoordinates');
  }
}
