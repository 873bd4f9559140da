import { sha256Hex } from '../contract/canonical.ts';
import type { EventRecord, EventType } from '../contract/event.ts';
import { type BackoffPolicy, backoffMs } from '../decide/backoff.ts';
import type { Clock } from '../ports/clock.ts';
import { BusError } from '../ports/event-bus.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Hub } from './hub.ts';
import type { Metrics } from './metrics.ts';
import { type EventRow, type EventStore, toEventRecord } from './store/events.ts';
import type { OutboxStore } from './store/outbox.ts';

/** An event of the log, as it goes to the bus. */
export interface OverlayMessage {
  readonly topic: EventType;
  /** The same event has the same one each time, so that a repetition can be told. */
  readonly message_id: string;
  /** The event as `GET /v1/events` shows it, with its fleet, and the fields of `data` once more beside it. */
  readonly body: EventRecord & { readonly fleet: string };
}

/** Where the events of the log go. */
export interface Overlay {
  /**
   * Resolves when the bus holds the message durably, or nobody wants it. Rejects when that is not sure: then it comes
   * again. `BusError` of kind `bad_name` or `unsupported`: no bus will ever take it, and it is passed over.
   */
  publish(message: OverlayMessage): Promise<void>;
}

/**
 * Puts the events of one fleet's log on the bus, each at least once and in the order of the log, whatever dies in
 * between: an event is written with the change that it tells of, and the cursor of what was published after the bus has
 * confirmed it. Who is killed between the two publishes again, with the same message id.
 */
export interface Outbox {
  /** Until `signal` aborts. Costs nothing while nothing happens. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** For an orderly end, after `run`: what is still there goes now, unless the bus is away. Takes `limit_ms` at most. Never rejects. */
  flush(limit_ms: number): Promise<void>;
  /** Drops old events, but none that waits, up to a number of those too. */
  trim(): Promise<void>;
}

export interface OutboxDeps {
  readonly fleet: string;
  readonly overlay: Overlay;
  readonly store: OutboxStore;
  readonly events: EventStore;
  readonly hub: Hub;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Events of one read, and of one write of the cursor. */
const BATCH = 100;
const RETRY: BackoffPolicy = { base_ms: 500, cap_ms: 30_000 };
/** Each commit of this process wakes the relay. This is for what nobody has thought of. */
const LOOK_AGAIN_MS = 3_600_000;
/** A name in AMQP has at most so many bytes. */
const MAX_ID_BYTES = 255;

export function createOutbox(deps: OutboxDeps): Outbox {
  const { fleet, store, hub, metrics, clock, random, log } = deps;
  const pass = createPasses(deps);
  const trouble = createTrouble(log);
  return {
    async run(signal) {
      let listening = new AbortController();
      signal.addEventListener('abort', () => listening.abort(), { once: true });
      while (!signal.aborted) {
        listening = new AbortController();
        // Listening begins before the read, so that an event written in between wakes it.
        const woken = hub.wait(fleet, clock, LOOK_AGAIN_MS, listening.signal);
        try {
          const isMore = await unless(signal, pass(signal));
          // What was cut short tells nothing of the bus.
          if (signal.aborted) break;
          trouble.end();
          if (!isMore) await woken;
        } catch (error) {
          // New events do not cut this short: each would ask a bus that is away once more.
          await clock.sleep(backoffMs(RETRY, trouble.note(error), random.next()), signal);
        } finally {
          listening.abort();
        }
      }
    },
    async flush(limit_ms) {
      if (trouble.isThere) return;
      const limit = new AbortController();
      const all = emptied(pass, limit.signal).catch((error: unknown) =>
        log.debug('events wait for the next start', { error: String(error) }),
      );
      await Promise.race([all, clock.sleep(limit_ms, limit.signal)]);
      limit.abort();
    },
    async trim() {
      const dropped = await store.trim(fleet);
      if (dropped === 0) return;
      metrics.counter('bootplane_overlay_dropped_total', { reason: 'too_many' }).add(dropped);
      log.error('more events than are kept wait for the bus: the oldest were dropped, and will never be on it', { dropped });
    },
  };
}

/** Resolves with true when there may be more to publish. */
type Pass = (signal: AbortSignal) => Promise<boolean>;

/** One pass at a time: who asks while one is under way gets that one. */
function createPasses({ fleet, overlay, store, events, metrics, log }: OutboxDeps): Pass {
  /** What the bus has, and what the database knows of that: it is behind while the disk refuses the cursor. */
  let taken: number | undefined;
  let written: number | undefined;
  let underWay: Promise<boolean> | undefined;
  const keepCursor = async () => {
    const seq = taken;
    if (seq === undefined || seq === written) return;
    await store.advance(fleet, seq);
    written = seq;
  };
  const deliver = async (row: EventRow) => {
    try {
      await overlay.publish(await toMessage(fleet, row));
      metrics.counter('bootplane_overlay_published_total').add();
    } catch (error) {
      if (!isHopeless(error)) throw error;
      metrics.counter('bootplane_overlay_dropped_total', { reason: 'refused' }).add();
      log.error('an event was passed over: no bus takes it', { cursor: row.seq, type: row.type, error: String(error) });
    }
  };
  const pass: Pass = async (signal) => {
    const stored = await store.published(fleet);
    // At the start; and later a damaged database may have made room for a new one, whose log begins anew.
    if (taken === undefined || stored !== written) taken = written = stored;
    await keepCursor();
    const rows = await events.list({ fleet, after: taken, limit: BATCH });
    try {
      for (const row of rows) {
        if (signal.aborted) return false;
        await deliver(row);
        taken = row.seq;
      }
    } finally {
      await keepCursor();
    }
    return rows.length === BATCH;
  };
  return (signal) => {
    underWay ??= pass(signal).finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** The first pass may be one that was under way, and was told to end. */
async function emptied(pass: Pass, signal: AbortSignal): Promise<void> {
  await pass(signal);
  for (let isMore = true; isMore; ) isMore = await pass(signal);
}

/** Said once when it begins, again when it is another, and when it is over. */
function createTrouble(log: Log) {
  let failures = 0;
  let said: string | undefined;
  return {
    get isThere() {
      return failures > 0;
    },
    /** The number of failures before this one. */
    note(error: unknown): number {
      const kind = error instanceof BusError ? error.kind : 'other';
      if (kind !== said) log.warn('overlay events wait in the event log until the bus takes them', { error: String(error) });
      said = kind;
      failures += 1;
      return failures - 1;
    },
    end() {
      if (failures > 0) log.info('overlay events reach the bus again', { after_failures: failures });
      failures = 0;
      said = undefined;
    },
  };
}

/** What was begun goes on behind it when the signal comes first. */
async function unless(signal: AbortSignal, work: Promise<boolean>): Promise<boolean> {
  if (signal.aborted) return work;
  let stop = () => {};
  const aborted = new Promise<boolean>((resolve) => {
    stop = () => resolve(false);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** The message itself is what is wrong. Everything else may be put right, by time or by a person. */
function isHopeless(error: unknown): boolean {
  return error instanceof BusError && (error.kind === 'bad_name' || error.kind === 'unsupported');
}

async function toMessage(fleet: string, row: EventRow): Promise<OverlayMessage> {
  const body = { ...row.data, ...toEventRecord(row), fleet };
  return { topic: row.type, message_id: await messageIdOf(row.dedupe), body };
}

/** The name of the event; the hash of a name that is too long for a message. */
async function messageIdOf(dedupe: string): Promise<string> {
  const fits = new TextEncoder().encode(dedupe).byteLength <= MAX_ID_BYTES;
  return fits ? dedupe : `sha256/${await sha256Hex(dedupe)}`;
}
