import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BusError } from '../../shared/ports/event-bus.ts';
import { StorageError } from '../../shared/ports/object-storage.ts';
import { VectorError } from '../../shared/ports/vector-index.ts';
import { type Backends, desiredProfile, memoryBackends, type ProfileInput, startReconciler } from '../support/memory-environment.ts';
import type { Fault } from '../support/memory-spy.ts';
import { addForeign, anyProfile, capabilities, compatibleProfile, readAll } from './reconcile.arbitraries.ts';
import { expectCovered, expectNothingLost } from './reconcile.laws.ts';

const RUNS = { numRuns: 100 };
const some = (profile: fc.Arbitrary<ProfileInput>) => fc.array(profile, { minLength: 1, maxLength: 4 });

async function applyAll(backends: Backends, profiles: readonly ProfileInput[]) {
  const started = startReconciler(backends);
  for (const [index, profile] of profiles.entries()) await started.reconciler.apply(await desiredProfile(profile, index + 1));
  return started;
}

test('applying twice writes nothing the second time, after a restart too', async () => {
  await fc.assert(
    fc.asyncProperty(some(anyProfile), capabilities, async (profiles, able) => {
      const backends = memoryBackends(able);
      await addForeign(backends);
      const { reconciler, writes, events } = await applyAll(backends, profiles);
      const [written, last] = [writes().length, await desiredProfile(profiles.at(-1), profiles.length)];
      const components = await reconciler.apply(last);
      expect(writes().slice(written)).toEqual([]);
      expect(Object.values(components).map(({ status }) => status)).toEqual(['unchanged', 'unchanged', 'unchanged']);
      const told = events.length;
      await reconciler.apply(last);
      expect(events).toHaveLength(told);
      const restarted = startReconciler(backends);
      await restarted.reconciler.apply(last);
      expect(restarted.writes()).toEqual([]);
    }),
    RUNS,
  );
});

test('no sequence of profiles removes anything, shortens a life, or touches what others made', async () => {
  await fc.assert(
    fc.asyncProperty(some(anyProfile), capabilities, async (profiles, able) => {
      const backends = memoryBackends(able);
      await addForeign(backends);
      const { reconciler, writes } = startReconciler(backends);
      for (const [index, profile] of profiles.entries()) {
        const before = structuredClone(await readAll(backends));
        await reconciler.apply(await desiredProfile(profile, index + 1));
        expectNothingLost(before, await readAll(backends));
      }
      const allowed = /^ensure(Bucket|Versioning|Lifecycle|Tags|Exchange|Queue|Binding|Confirms|Class|Properties)$/;
      for (const { method, args } of writes()) {
        expect(method).toMatch(allowed);
        if (method === 'ensureVersioning') expect(args[1]).toBe(true);
      }
    }),
    RUNS,
  );
});

test('no action of the embedded defaults fails, and what is skipped is destroy or incompatible', async () => {
  await fc.assert(
    fc.asyncProperty(some(anyProfile), async (profiles) => {
      const backends = memoryBackends();
      const { reconciler, events } = await applyAll(backends, profiles);
      expect(events.filter(({ status }) => status === 'failed')).toEqual([]);
      const left = await reconciler.diff(await desiredProfile(profiles.at(-1)));
      for (const { actions } of left) for (const { safety } of actions) expect(['destroy', 'incompatible']).toContain(safety);
    }),
    RUNS,
  );
});

test('profiles that agree end in a superset of the last, in whatever order they came', async () => {
  await fc.assert(
    fc.asyncProperty(some(compatibleProfile), compatibleProfile, async (profiles, last) => {
      const { body } = await desiredProfile(last);
      for (const order of [profiles, [...profiles].reverse()]) {
        const backends = memoryBackends();
        await addForeign(backends);
        await applyAll(backends, [...order, last]);
        expectCovered(body, await readAll(backends));
      }
    }),
    RUNS,
  );
});

test('a crash at any write and a rerun reach the same end as no crash', async () => {
  await fc.assert(
    fc.asyncProperty(some(anyProfile), fc.nat(40), fc.constantFrom('never' as const, 'lost' as const), async (profiles, at, kind) => {
      const [whole, crashed] = [memoryBackends(), memoryBackends()];
      for (const backends of [whole, crashed]) await addForeign(backends);
      await applyAll(whole, profiles);
      await applyAll(crashed, profiles.slice(0, -1));
      const last = await desiredProfile(profiles.at(-1), profiles.length);
      await crashDuring(crashed, last, at, kind);
      await startReconciler(crashed).reconciler.apply(last);
      expect(sorted(await readAll(crashed))).toEqual(sorted(await readAll(whole)));
    }),
    RUNS,
  );
});

/** Applies until the `at`th write, which the process does not survive. */
async function crashDuring(backends: Backends, desired: Awaited<ReturnType<typeof desiredProfile>>, at: number, kind: 'never' | 'lost') {
  let writes = 0;
  let die = () => {};
  const dead = new Promise<void>((resolve) => {
    die = resolve;
  });
  const fault: Fault = ({ method }) => {
    if (method.startsWith('read')) return undefined;
    writes += 1;
    if (writes <= at) return undefined;
    die();
    return writes === at + 1 ? kind : 'never';
  };
  await Promise.race([startReconciler(backends, { storage: fault, bus: fault, vector: fault }).reconciler.apply(desired), dead]);
}

function sorted(state: Awaited<ReturnType<typeof readAll>>) {
  const by = (items: readonly object[]) => items.map((one) => JSON.stringify(one, Object.keys(flatten(one)).sort())).sort();
  return {
    ...state,
    buckets: by(state.buckets),
    queues: by(state.queues),
    exchanges: by(state.exchanges),
    bindings: by(state.bindings),
    classes: by(state.classes),
  };
}

/** All names inside a value, so that JSON can be written in one order. */
function flatten(value: unknown): Record<string, true> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.assign({}, ...Object.entries(value).map(([name, one]) => ({ [name]: true, ...flatten(one) })));
}

test('whatever goes wrong in one component, the others end as without it', async () => {
  const errors = {
    storage: new StorageError('full', 'full'),
    bus: new BusError('backend_away', 'away'),
    vector: new VectorError('failed', 'failed'),
  };
  const port = fc.constantFrom('storage' as const, 'bus' as const, 'vector' as const);
  await fc.assert(
    fc.asyncProperty(anyProfile, port, fc.array(fc.boolean(), { maxLength: 12 }), async (profile, broken, failing) => {
      const [whole, partial] = [memoryBackends(), memoryBackends()];
      await applyAll(whole, [profile]);
      const fault: Fault = (_, index) => (failing[index] ? errors[broken] : undefined);
      const { reconciler } = startReconciler(partial, { [broken]: fault });
      const desired = await desiredProfile(profile);
      const components = await reconciler.apply(desired);
      for (const [component, { status }] of Object.entries(components)) {
        if (component !== (broken === 'bus' ? 'broker' : broken)) expect(status).not.toBe('failed');
      }
      const [a, b] = [sorted(await readAll(whole)), sorted(await readAll(partial))];
      const parts = { storage: ['buckets'], bus: ['exchanges', 'queues', 'bindings', 'confirms'], vector: ['classes'] } as const;
      for (const [name, fields] of Object.entries(parts)) {
        if (name !== broken) for (const field of fields) expect(b[field]).toEqual(a[field]);
      }
      await startReconciler(partial).reconciler.apply(desired);
      expect(sorted(await readAll(partial))).toEqual(a);
    }),
    RUNS,
  );
});
