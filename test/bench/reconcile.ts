import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { Component } from '../../shared/contract/status.ts';
import { createAttempts, createEnvironmentReconciler } from '../../shared/reconcile/index.ts';
import { desiredProfile, memoryBackends, startReconciler } from '../support/memory-environment.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock as clock } from '../support/system-clock.ts';
import { median, type Row } from './report.ts';

const RESOURCES = 10_000;
const ROUNDS = 5;
const SIZES = [1_000, 10_000, 100_000];

/** A profile that holds `count` resources of one component. */
function profileOf(component: Component, count: number) {
  const names = Array.from({ length: count }, (_, index) => `r${index}`);
  if (component === 'storage')
    return { storage: { buckets: names.map((name) => ({ name: `bucket-${name}`, versioning: true, tags: { team: 'vision' } })) } };
  if (component === 'vector')
    return {
      vector: { classes: names.map((name) => ({ name: `Class${name}`, properties: [{ name: 'camera', type: 'text' as const }] })) },
    };
  const half = names.slice(0, count / 2);
  return {
    broker: {
      exchanges: [{ name: 'events', type: 'topic' as const }],
      queues: half.map((name) => ({ name })),
      bindings: half.map((name) => ({ exchange: 'events', queue: name, key: name })),
    },
  };
}

/** A reconcile that finds nothing to do, per component, on the embedded adapters; and how the diff grows. */
export async function benchReconcile(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const component of ['storage', 'broker', 'vector'] as const) rows.push(await noOp(component));
  for (const component of ['storage', 'broker', 'vector'] as const) rows.push(await growth(component));
  return rows;
}

async function noOp(component: Component): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'bootplane-reconcile-'));
  const [log, random] = [recordingLog(), seededRandom()];
  const storage = await createFsStorage({ root: join(folder, 'storage'), clock, random, log });
  const bus = createLocalBus({ path: join(folder, 'bus.sqlite'), clock, random, log });
  const vector = createEmbeddedIndex({ path: join(folder, 'vector.sqlite'), log });
  try {
    const attempts = createAttempts({ files: memoryStateFiles(), clock, log });
    const reconciler = createEnvironmentReconciler({
      node_id: 'bench',
      storage,
      bus,
      vector,
      clock,
      log,
      attempts,
      report: () => undefined,
      call_limit_ms: 600_000,
    });
    const desired = await desiredProfile(profileOf(component, RESOURCES));
    const first = await timed(() => reconciler.apply(desired));
    const again: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) again.push(await timed(() => reconciler.apply(desired)));
    if (reconciler.status()[component]?.status !== 'unchanged') throw new Error(`${component} was not unchanged`);
    return {
      what: `${component}, ${RESOURCES} resources: nothing to do`,
      figure: `${Math.round(median(again))} ms`,
      goal: `the first apply took ${(first / 1000).toFixed(1)} s`,
    };
  } finally {
    for (const port of [storage, bus, vector]) await port.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Microseconds per resource of a no-op on the in-memory backends, where the diff is what costs. */
async function growth(component: Component): Promise<Row> {
  const costs: string[] = [];
  for (const size of SIZES) {
    const { reconciler } = startReconciler(memoryBackends(), { call_limit_ms: 600_000 });
    const desired = await desiredProfile(profileOf(component, size));
    await reconciler.apply(desired);
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) times.push(await timed(() => reconciler.diff(desired)));
    costs.push(((Math.min(...times) * 1000) / size).toFixed(1));
  }
  return { what: `${component}: diff of ${SIZES.join(' / ')}`, figure: `${costs.join(' / ')} µs a resource`, goal: 'linear' };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
