import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import type { Delivery, EventBus } from '../../shared/ports/event-bus.ts';
import { killAfter } from '../support/kill-after.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const WRITER = fileURLToPath(new URL('event-bus.local.writer.ts', import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-bus-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function drain(bus: EventBus): Promise<Delivery[]> {
  const all: Delivery[] = [];
  for (let some = await bus.receive('work', { limit: 1000 }); some.length > 0; some = await bus.receive('work', { limit: 1000 }))
    all.push(...some);
  return all;
}

it('has every confirmed message after kill -9, and none that was acknowledged', async () => {
  const path = join(folder, 'bus.db');
  const told: string[] = [];
  for (const [round, lines] of [7, 333, 1500].entries())
    told.push(...(await killAfter({ program: WRITER, path, round, telling: join(folder, `told-${round}`) }, lines)));
  const named = (word: string) => new Set(told.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1)));
  const [confirmed, acking, acked] = [named('confirmed'), named('acking'), named('acked')];
  expect(acked.size).toBeGreaterThan(100);

  const bus = createLocalBus({ path, clock: new SimulatedClock(), random: seededRandom(99), log: recordingLog() });
  const deliveries = await drain(bus);
  await bus.close();

  const left = new Set(deliveries.map(({ message_id }) => message_id));
  expect(left.size).toBe(deliveries.length);
  expect([...confirmed].filter((id) => !left.has(id) && !acking.has(id))).toEqual([]);
  expect([...acked].filter((id) => left.has(id))).toEqual([]);
  for (const { body, message_id } of deliveries) expect(new TextDecoder().decode(body)).toBe(message_id);
  // What the killed process had taken and not settled comes first, and says so.
  expect(deliveries[0]?.redelivered).toBe(true);
  expect(deliveries.at(-1)?.redelivered).toBe(false);
});
