import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, expect } from 'vitest';
import { createLocalBus, type LocalBusOptions } from '../../runtime-node/adapters/bus-local.ts';
import type { Queue } from '../../shared/contract/profile.ts';
import type { BusErrorKind, EmbeddedBus, EventBus } from '../../shared/ports/event-bus.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

/** Of the test that runs: made anew before each, closed and removed after it. */
export let folder: string;
export let path: string;
export let clock: SimulatedClock;
let opened: EventBus[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-bus-'));
  path = join(folder, 'sub', 'bus.db');
  clock = new SimulatedClock();
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((bus) => bus.close()));
  await rm(folder, { recursive: true });
});

export function open(options: Partial<LocalBusOptions> = {}): EmbeddedBus {
  const bus = createLocalBus({ path, clock, random: seededRandom(opened.length + 1), log: recordingLog(), ...options });
  opened.push(bus);
  return bus;
}

export const queue = (name: string, options: Partial<Queue> = {}): Queue => ({ name, type: 'classic', arguments: {}, ...options });
export const send = (bus: EventBus, to: string, message_id: string, bytes = 10) =>
  bus.publish({ exchange: '', key: to, message_id, body: new Uint8Array(bytes) });
export const idsIn = async (bus: EventBus, from: string) => (await bus.receive(from, { limit: 1000 })).map(({ message_id }) => message_id);
export const rejection = (kind: BusErrorKind, message = '') => expect.objectContaining({ kind, message: expect.stringContaining(message) });

/** Rows of a table, read after the bus has let go of the file. */
export function countRows(table: string): unknown {
  const database = new Sqlite(path, { readonly: true });
  try {
    return database.prepare(`select count(*) from ${table}`).pluck().get();
  } finally {
    database.close();
  }
}
