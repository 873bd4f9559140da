import * as z from 'zod';
import { refuseIllFormed } from './unicode.ts';

/**
 * Names follow the limits of the strictest backend (S3, RabbitMQ, Weaviate), so that a profile that
 * works on the embedded defaults works on the externals too. Each error says which rule was broken.
 */
export const BucketName = z
  .string()
  .min(3, 'must have at least 3 characters (S3)')
  .max(63, 'must have at most 63 characters (S3)')
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must hold only a-z, 0-9 and -, and start and end with a letter or digit (S3, without dots)')
  .refine(
    (name) => !name.startsWith('xn--') && !name.endsWith('-s3alias'),
    'must not start with xn-- nor end with -s3alias (reserved by S3)',
  );

const AmqpName = z
  .string()
  .min(1)
  .refine((name) => new TextEncoder().encode(name).length <= 255, 'must have at most 255 bytes (AMQP)')
  .regex(/^[A-Za-z0-9_.:-]+$/, 'must hold only A-Z a-z 0-9 _ . : - (AMQP)')
  .refine((name) => !name.startsWith('amq.'), 'must not start with amq. (reserved by AMQP)');

export const ClassName = z
  .string()
  .regex(/^[A-Z][_0-9A-Za-z]{0,254}$/, 'must start with a capital letter and hold at most 255 letters, digits and _ (Weaviate)');
export const PropertyName = z
  .string()
  .regex(/^[_A-Za-z][_0-9A-Za-z]{0,230}$/, 'must start with a letter or _ and hold at most 231 letters, digits and _ (Weaviate)')
  .refine((name) => !['id', '_id', 'vector', '_additional'].includes(name), 'is reserved (Weaviate)');

export const LifecycleRule = z
  .object({
    id: z
      .string()
      .min(1)
      .max(255, 'must have at most 255 characters (S3)')
      .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII'),
    prefix: z.string().max(1024).default(''),
    /** Expire the current version this many days (24 h) after it was written. */
    expire_days: z.number().int().min(1).max(36_500),
  })
  .meta({ id: 'LifecycleRule' });
export type LifecycleRule = z.infer<typeof LifecycleRule>;

/** The tag of a bucket that records who made it, where the store keeps tags. Nobody's: it is not shown with the others and can't be set with them. */
export const MAKER_TAG = 'bootplane-made-by';

const Tags = z
  .record(z.string().min(1).max(128, 'must have at most 128 characters (S3)'), z.string().max(256, 'must have at most 256 characters (S3)'))
  .refine((tags) => Object.keys(tags).length <= 49, 'must have at most 49 tags (S3 takes 50, and one records who made the bucket)')
  .refine((tags) => !Object.hasOwn(tags, MAKER_TAG), {
    path: [MAKER_TAG],
    message: 'is kept for bootplane, which records there who made a bucket: use another name',
  })
  .refine((tags) => Object.keys(tags).every((name) => !name.startsWith('aws:')), 'names must not start with aws: (reserved by S3)');

export const Bucket = z
  .object({
    name: BucketName,
    /** Absent: left as it is. */
    versioning: z.boolean().optional(),
    tags: Tags.default({}),
    lifecycle: z.array(LifecycleRule).max(1000).default([]),
  })
  .meta({ id: 'Bucket' });
export type Bucket = z.infer<typeof Bucket>;

export const ExchangeType = z.enum(['direct', 'topic', 'fanout', 'headers']);
export type ExchangeType = z.infer<typeof ExchangeType>;
export const Exchange = z.object({ name: AmqpName, type: ExchangeType }).meta({ id: 'Exchange' });
export type Exchange = z.infer<typeof Exchange>;

/** Values of arguments and of headers. */
export const BusValue = z.union([z.string().max(4096), z.number(), z.boolean()]);
export type BusValue = z.infer<typeof BusValue>;
const Arguments = z.record(z.string().min(1).max(128), BusValue);

export const QueueType = z.enum(['classic', 'quorum']);
export type QueueType = z.infer<typeof QueueType>;
export const Queue = z
  .object({
    name: AmqpName,
    type: QueueType.default('classic'),
    /** How long a message stays, milliseconds. Absent: for good. */
    ttl_ms: z.number().int().min(1).max(4_294_967_295).optional(),
    /** Exchange for what expires or is rejected. */
    dlx: AmqpName.optional(),
    arguments: Arguments.default({}),
  })
  .refine((queue) => !['x-message-ttl', 'x-dead-letter-exchange', 'x-queue-type'].some((name) => name in queue.arguments), {
    path: ['arguments'],
    message: 'must not repeat x-message-ttl, x-dead-letter-exchange or x-queue-type: use ttl_ms, dlx and type',
  })
  .meta({ id: 'Queue' });
export type Queue = z.infer<typeof Queue>;

export const Binding = z
  .object({
    exchange: AmqpName,
    queue: AmqpName,
    key: z.string().max(255, 'must have at most 255 characters (AMQP)').default(''),
    /** For headers exchanges: what to match, with `x-match` `all` (default) or `any`. */
    arguments: Arguments.default({}),
  })
  .meta({ id: 'Binding' });
export type Binding = z.infer<typeof Binding>;

export const PropertyType = z.enum(['text', 'int', 'number', 'boolean', 'date', 'uuid', 'text[]', 'int[]', 'number[]', 'boolean[]']);
export type PropertyType = z.infer<typeof PropertyType>;
export const PropertySpec = z.object({ name: PropertyName, type: PropertyType }).meta({ id: 'PropertySpec' });
export type PropertySpec = z.infer<typeof PropertySpec>;
export const ClassSpec = z
  .object({
    name: ClassName,
    /** Absent: fixed by the first object. */
    dimensions: z.number().int().min(1).max(8192).optional(),
    properties: z.array(PropertySpec).max(1000).default([]),
  })
  .meta({ id: 'ClassSpec' });
export type ClassSpec = z.infer<typeof ClassSpec>;

const Storage = z.object({ buckets: z.array(Bucket).max(100_000).default([]) });
const Broker = z.object({
  exchanges: z.array(Exchange).max(100_000).default([]),
  queues: z.array(Queue).max(100_000).default([]),
  bindings: z.array(Binding).max(100_000).default([]),
});
const Vector = z.object({ classes: z.array(ClassSpec).max(100_000).default([]) });

export const EnvironmentProfile = z
  .object({ storage: Storage.prefault({}), broker: Broker.prefault({}), vector: Vector.prefault({}) })
  .superRefine((profile, context) => {
    for (const { path, names } of listsOf(profile)) {
      for (const index of repeats(names))
        context.addIssue({ code: 'custom', path: [...path, index], message: `is named twice: ${names[index]}` });
    }
  })
  .superRefine(refuseIllFormed)
  .meta({ id: 'EnvironmentProfile' });
/** Defaults filled in. */
export type EnvironmentProfile = z.infer<typeof EnvironmentProfile>;
export type StorageProfile = EnvironmentProfile['storage'];
export type BrokerProfile = EnvironmentProfile['broker'];
export type VectorProfile = EnvironmentProfile['vector'];

/** The lists whose items must differ. Backends fold class and property names by the first letter's case; so do we. */
function listsOf(profile: z.output<typeof RawProfile>): { path: (string | number)[]; names: string[] }[] {
  const { storage, broker, vector } = profile;
  return [
    { path: ['storage', 'buckets'], names: storage.buckets.map(({ name }) => name) },
    ...storage.buckets.map((bucket, index) => ({
      path: ['storage', 'buckets', index, 'lifecycle'],
      names: bucket.lifecycle.map(({ id }) => id),
    })),
    { path: ['broker', 'exchanges'], names: broker.exchanges.map(({ name }) => name) },
    { path: ['broker', 'queues'], names: broker.queues.map(({ name }) => name) },
    { path: ['vector', 'classes'], names: vector.classes.map(({ name }) => name) },
    ...vector.classes.map((one, index) => ({
      path: ['vector', 'classes', index, 'properties'],
      names: one.properties.map(({ name }) => lowerFirst(name)),
    })),
  ];
}

const RawProfile = z.object({ storage: Storage, broker: Broker, vector: Vector });

function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function repeats(names: readonly string[]): number[] {
  const seen = new Set<string>();
  return names.flatMap((name, index) => {
    if (seen.has(name)) return [index];
    seen.add(name);
    return [];
  });
}
