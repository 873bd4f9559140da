import { expect } from 'vitest';
import type { EnvironmentProfile, LifecycleRule } from '../../shared/contract/profile.ts';
import type { QueueState } from '../../shared/ports/event-bus.ts';
import type { BucketState } from '../../shared/ports/object-storage.ts';
import type { ClassState } from '../../shared/ports/vector-index.ts';
import type { Everything } from './reconcile.arbitraries.ts';

/**
 * Nothing of `before` is gone, shorter-lived or of another kind in `after`. Written against the
 * state, without a look at the diffs that it judges.
 */
export function expectNothingLost(before: Everything, after: Everything): void {
  for (const bucket of before.buckets) expectBucketKept(bucket, byName(after.buckets, bucket.name));
  for (const exchange of before.exchanges) expect(after.exchanges).toContainEqual(exchange);
  for (const queue of before.queues) expectQueueKept(queue, byName(after.queues, queue.name));
  for (const binding of before.bindings) expect(after.bindings).toContainEqual(binding);
  for (const one of before.classes) expectClassKept(one, byName(after.classes, one.name));
  if (before.confirms) expect(after.confirms).toBe(true);
}

function byName<T extends { readonly name: string }>(items: readonly T[], name: string): T {
  const found = items.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${name} is gone`);
  return found;
}

function expectBucketKept(before: BucketState, after: BucketState): void {
  if (before.versioning !== after.versioning) expect(after.versioning).toBe('enabled');
  expect(Object.keys(after.tags)).toEqual(expect.arrayContaining(Object.keys(before.tags)));
  if ('foreign' in before.tags) expect(after.tags.foreign).toBe('kept');
  for (const rule of before.lifecycle) {
    const now = after.lifecycle.find(({ id }) => id === rule.id);
    expect(now, `rule ${rule.id}`).toBeDefined();
    for (const key of ['a/x', 'a/b/x', 'c/x', 'x', 'logs/x']) expect(days(now, key)).toBeGreaterThanOrEqual(days(rule, key));
    if (rule.id === 'foreign') expect(now).toEqual(rule);
  }
}

/** How many days a rule leaves a key alive. */
function days(rule: LifecycleRule | undefined, key: string): number {
  return rule !== undefined && key.startsWith(rule.prefix) ? rule.expire_days : Number.POSITIVE_INFINITY;
}

function expectQueueKept(before: QueueState, after: QueueState): void {
  expect({ ...after, ttl_ms: 0 }).toEqual({ ...before, ttl_ms: 0 });
  expect(after.ttl_ms ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(before.ttl_ms ?? Number.POSITIVE_INFINITY);
}

function expectClassKept(before: ClassState, after: ClassState): void {
  expect(after.dimensions).toBe(before.dimensions);
  for (const property of before.properties) expect(after.properties).toContainEqual(property);
}

/** All that a profile asks for is there; more may be. */
export function expectCovered({ storage, broker, vector }: EnvironmentProfile, state: Everything): void {
  for (const wanted of storage.buckets) {
    const bucket = byName(state.buckets, wanted.name);
    if (wanted.versioning) expect(bucket.versioning).toBe('enabled');
    expect(bucket.tags).toMatchObject(wanted.tags);
    for (const rule of wanted.lifecycle) expect(bucket.lifecycle).toContainEqual(rule);
  }
  for (const exchange of broker.exchanges) expect(state.exchanges).toContainEqual(exchange);
  for (const queue of broker.queues) expect(state.queues).toContainEqual(queue);
  for (const binding of broker.bindings) expect(state.bindings).toContainEqual(binding);
  for (const wanted of vector.classes) {
    const found = byName(state.classes, wanted.name);
    expect(found.dimensions).toBe(wanted.dimensions);
    for (const { name, type } of wanted.properties) {
      expect(found.properties).toContainEqual({ name: name.charAt(0).toLowerCase() + name.slice(1), type });
    }
  }
}
