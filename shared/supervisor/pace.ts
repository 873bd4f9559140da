import { countIntervalMs, isBeyondBudget, stretchSeconds } from '../decide/stretch.ts';
import { LOST_AFTER_TTLS } from '../decide/ttl.ts';
import type { Database } from '../ports/database.ts';
import type { Log } from '../ports/log.ts';
import { createPaceStore } from './store/pace.ts';

export interface PaceOptions {
  readonly database: Database;
  readonly log: Log;
  /** Rows a day that heartbeats and renewals may write. Absent: the TTL is never stretched. */
  readonly write_budget?: number;
}

/** Who was heard within this time writes, whatever the TTL is, milliseconds. */
const SHORTEST_WINDOW_MS = 600_000;

/**
 * To be called by the sweep: counts who writes, not more often than `countIntervalMs` says, and keeps the TTL that the
 * write budget needs. Every statement that judges by the TTL reads it there (`ttlMsOf`).
 */
export async function keepPace({ database, log, write_budget: budget }: PaceOptions): Promise<void> {
  const store = createPaceStore(database);
  const before = await store.get();
  if (budget === undefined) {
    if (before !== undefined && before.stretch_seconds > 0) await store.save(0, { writers: before.writers, rows: before.counted_rows });
    return;
  }
  // An age below zero: the clock was set back since.
  if (before !== undefined && before.age_ms >= 0 && before.age_ms < countIntervalMs(before.counted_rows)) return;
  const stretched = before?.stretch_seconds ?? 0;
  const count = await store.count(Math.max(SHORTEST_WINDOW_MS, LOST_AFTER_TTLS * stretched * 1000));
  const stretch_seconds = stretchSeconds({ writers: count.writers, budget, stretch_seconds: stretched });
  await store.save(stretch_seconds, count);
  if (stretch_seconds === stretched) return;
  const fields = { at_least_seconds: stretch_seconds, writers: count.writers, rows_a_day: budget };
  if (isBeyondBudget(count.writers, budget)) log.warn('more nodes and sites write than the write budget allows at the longest TTL', fields);
  else log.info('the write budget asks for another TTL', fields);
}
