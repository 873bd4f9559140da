import * as z from 'zod';
import { canonicalJson } from './canonical.ts';
import { Binding, Exchange, LifecycleRule, Queue } from './profile.ts';

/**
 * One thing of an environment as bootplane made it, so that it can tell later whether what stands there is still that.
 * A bucket and a class are made empty: their name says all.
 */
export const Made = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('bucket'), name: z.string() }),
  z.object({ kind: z.literal('lifecycle_rule'), bucket: z.string(), rule: LifecycleRule }),
  z.object({ kind: z.literal('tag'), bucket: z.string(), name: z.string(), value: z.string() }),
  z.object({ kind: z.literal('exchange'), exchange: Exchange }),
  z.object({ kind: z.literal('queue'), queue: Queue }),
  z.object({ kind: z.literal('binding'), binding: Binding }),
  z.object({ kind: z.literal('class'), name: z.string() }),
]);
export type Made = Readonly<z.infer<typeof Made>>;
export type MadeKind = Made['kind'];

/** Names the place that a thing takes on its backend: two with one key can't be there at one time. */
export function keyOfMade(made: Made): string {
  switch (made.kind) {
    case 'bucket':
    case 'class':
      return canonicalJson([made.kind, made.name]);
    case 'lifecycle_rule':
      return canonicalJson([made.kind, made.bucket, made.rule.id]);
    case 'tag':
      return canonicalJson([made.kind, made.bucket, made.name]);
    case 'exchange':
      return canonicalJson([made.kind, made.exchange.name]);
    case 'queue':
      return canonicalJson([made.kind, made.queue.name]);
    case 'binding':
      return canonicalJson([made.kind, made.binding]);
    default:
      return made satisfies never;
  }
}
