import * as z from 'zod';
import { fromBase64 } from './base64.ts';
import { Count, Sha256, Timestamp } from './ids.ts';
import { BucketName, BusValue, ClassName } from './profile.ts';

/**
 * The data API: what a node does for the services on its machine. Paths below these are about the node that is
 * asked and are never passed on.
 */
export function isDataPath(pathname: string): boolean {
  return /^\/v1\/(?:objects|messages|queues|vectors)\//.test(pathname);
}

/**
 * The topic exchange where bootplane itself says what happens to the fleet, under routing keys that start with the same
 * word. Nodes and front ends believe what they hear there, so services may not publish under such keys.
 */
export const OVERLAY = 'overlay';

/** Lower-case hex, with an upload: what arrives must have it. With a download: what the whole object has. */
export const SHA256_HEADER = 'Bootplane-Sha256';
export const VERSION_HEADER = 'Bootplane-Version';
export const MODIFIED_HEADER = 'Bootplane-Modified-At';

/** The largest body of a message, bytes. What is larger goes into a bucket, and its key into the message. */
export const MESSAGE_BODY_BYTES = 64 * 1024;
/** The largest request that publishes one: the body in base64, and as much again for the rest. */
export const MESSAGE_REQUEST_BYTES = 3 * MESSAGE_BODY_BYTES;
/** The longest wait for a message, milliseconds. Whoever wants to wait on asks again. */
export const MAX_WAIT_MS = 30_000;
const DAY_MS = 86_400_000;
/** A path is at most this long in bytes anyway, and so is an S3 key. */
const KEY_BYTES = 1024;

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** A key as it may stand in the path. Foreign objects may have any. */
const AnyKey = z
  .string()
  .min(1, 'must not be empty')
  .refine((key) => key.isWellFormed(), 'must be Unicode text')
  .refine((key) => bytesOf(key) <= KEY_BYTES, `must have at most ${KEY_BYTES} bytes of UTF-8 (S3)`);

/** A key that every store can take. */
const NewKey = AnyKey.refine(
  (key) => !key.includes('\0') && key.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
  'must not start or end with a slash, nor hold // nor . or .. between slashes (stores on file systems refuse these)',
);

export const BucketPath = z.object({ bucket: BucketName });
export const ObjectPath = z.object({ bucket: BucketName, key: AnyKey });
export const NewObjectPath = z.object({ bucket: BucketName, key: NewKey });

const limit = (most: number, preset: number) =>
  z
    .string()
    .regex(/^\d{1,4}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(1).max(most))
    .default(preset);

export const ObjectListQuery = z.strictObject({
  prefix: z.string().max(KEY_BYTES).optional(),
  /** Continue after this key. */
  after: z.string().max(KEY_BYTES).optional(),
  limit: limit(1000, 1000),
});

export const ObjectInfo = z
  .object({
    key: z.string(),
    version_id: z.string(),
    /** Bytes. */
    size: Count,
    /** Of the whole object; absent where the store does not keep it. */
    sha256: Sha256.optional(),
    content_type: z.string().optional(),
    modified_at: Timestamp,
  })
  .meta({ id: 'ObjectInfo' });
export type ObjectInfo = z.infer<typeof ObjectInfo>;

/** By key in the order of its UTF-8 bytes. `next` present: there are more, after this one. */
export const ObjectList = z.object({ objects: z.array(ObjectInfo), next: z.string().optional() }).meta({ id: 'ObjectList' });
export type ObjectList = z.infer<typeof ObjectList>;

/** AMQP's short string. */
const Short = z
  .string()
  .refine((text) => bytesOf(text) <= 255, 'must have at most 255 bytes (AMQP)')
  .refine((text) => text.isWellFormed(), 'must be Unicode text');
const Name = Short.min(1, 'must not be empty');

export const ExchangePath = z.object({ exchange: Name });
export const QueuePath = z.object({ queue: Name });

const Base64 = z
  .string()
  .refine((text) => fromBase64(text) !== undefined, 'must be base64 (RFC 4648, section 4, with padding)')
  .meta({ format: 'byte' });

export const PublishMessage = z
  .strictObject({
    /** The routing key. */
    key: Short.default(''),
    /** The idempotency key: a repeated publish with it is harmless. */
    message_id: Name,
    /** In base64. */
    body: Base64.default(''),
    content_type: Short.optional(),
    headers: z.record(z.string().min(1).max(128), BusValue).default({}),
  })
  .meta({ id: 'PublishMessage' });
export type PublishMessage = z.input<typeof PublishMessage>;

/** False: no queue is bound for this key, and nobody got the message. */
export const PublishMessageAnswer = z.object({ routed: z.boolean() }).meta({ id: 'PublishMessageAnswer' });

export const PullRequest = z
  .strictObject({
    limit: z.number().int().min(1).max(100).default(1),
    /** How long to wait for the first message. */
    wait_ms: z.number().int().min(0).max(MAX_WAIT_MS).default(0),
    /** For so long a message is hidden from others; then it is delivered again. */
    visibility_ms: z.number().int().min(1).max(DAY_MS).default(30_000),
  })
  .meta({ id: 'PullRequest' });
export type PullRequest = z.input<typeof PullRequest>;

export const DeliveredMessage = z
  .object({
    /** Names this delivery to `ack` and `reject`. */
    token: z.string(),
    queue: z.string(),
    exchange: z.string(),
    key: z.string(),
    message_id: z.string(),
    /** In base64. */
    body: z.string().meta({ format: 'byte' }),
    content_type: z.string().optional(),
    headers: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    /** It was delivered before, and perhaps handled. */
    redelivered: z.boolean(),
  })
  .meta({ id: 'DeliveredMessage' });
export type DeliveredMessage = z.infer<typeof DeliveredMessage>;
export const PullAnswer = z.object({ messages: z.array(DeliveredMessage) }).meta({ id: 'PullAnswer' });

const Token = z.string().min(1).max(512);
export const AckRequest = z.strictObject({ token: Token }).meta({ id: 'AckRequest' });
/** `requeue: false` drops the message, or dead-letters it where the queue has a `dlx`. */
export const RejectRequest = z.strictObject({ token: Token, requeue: z.boolean() }).meta({ id: 'RejectRequest' });

/** `.` and `..` can't stand in a path. */
const VectorId = z
  .string()
  .min(1, 'must not be empty')
  .max(256)
  .refine((id) => id.isWellFormed() && !id.includes('\0'), 'must be Unicode text without NUL')
  .refine((id) => id !== '.' && id !== '..', 'must not be . or ..');

export const ClassPath = z.object({ class: ClassName });
export const VectorPath = z.object({ class: ClassName, id: VectorId });

const Vector = z.array(z.number()).min(1).max(8192);
const PropertyValue = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.array(z.string()).readonly(),
  z.array(z.number()).readonly(),
  z.array(z.boolean()).readonly(),
]);
const Meta = z.record(z.string(), PropertyValue);

export const VectorBody = z.strictObject({ vector: Vector, meta: Meta.default({}) }).meta({ id: 'VectorBody' });
export type VectorBody = z.input<typeof VectorBody>;
export const VectorObject = z.object({ id: z.string(), vector: z.array(z.number()), meta: Meta }).meta({ id: 'VectorObject' });
export type VectorObject = z.infer<typeof VectorObject>;
export const VectorBatch = z
  .strictObject({
    objects: z
      .array(VectorBody.extend({ id: VectorId }))
      .min(1)
      .max(1000),
  })
  .meta({ id: 'VectorBatch' });
export type VectorBatch = z.input<typeof VectorBatch>;

export const VectorListQuery = z.strictObject({ after: VectorId.optional(), limit: limit(1000, 100) });
/** `next` present: there may be more, after this one. */
export const VectorList = z.object({ objects: z.array(VectorObject), next: z.string().optional() }).meta({ id: 'VectorList' });
export type VectorList = z.infer<typeof VectorList>;
export const VectorCount = z.object({ count: Count }).meta({ id: 'VectorCount' });

export const VectorSearch = z
  .strictObject({
    vector: Vector,
    limit: z.number().int().min(1).max(1000).default(10),
    /** Only objects whose properties equal all of these. */
    where: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  })
  .meta({ id: 'VectorSearch' });
export type VectorSearch = z.input<typeof VectorSearch>;
export const VectorHit = z
  .object({
    id: z.string(),
    /** Cosine distance: 0 same direction, 1 orthogonal, 2 opposite. */
    distance: z.number(),
    meta: Meta,
  })
  .meta({ id: 'VectorHit' });
export type VectorHit = z.infer<typeof VectorHit>;
/** Nearest first. */
export const VectorHits = z.object({ hits: z.array(VectorHit) }).meta({ id: 'VectorHits' });
