import { type BootstrapEvent, MAX_EVENTS } from '../contract/event.ts';
import type { Report } from '../reconcile/types.ts';

/** Reports on their way to the Supervisor, in the order in which they were made. */
export interface ReportQueue {
  /** Adds one. When the queue is full the oldest is dropped and counted. */
  readonly report: Report;
  /** Up to `MAX_EVENTS` of the oldest that fit into one message; they stay until `settle`. */
  batch(): readonly BootstrapEvent[];
  /** Forgets a batch: it was taken, or it never will be. */
  settle(batch: readonly BootstrapEvent[]): void;
  /** Called at each report. Replaces the one before. */
  onReport(listener: () => void): void;
  /** How many were dropped since this was last asked. */
  newlyDropped(): number;
  readonly size: number;
  /** How many were dropped since the start. */
  readonly dropped: number;
}

/** Keeps a day of one report a minute. */
const DEFAULT_LIMIT = 2000;
/** Below the limit of a message (64 KiB), with room for what quoting adds. */
const MAX_BATCH_BYTES = 60_000;
const MAX_KEPT_INCOMPATIBLE = 20;

export function createReportQueue({ limit = DEFAULT_LIMIT }: { limit?: number } = {}): ReportQueue {
  const waiting: BootstrapEvent[] = [];
  let dropped = 0;
  let told = 0;
  let notify: () => void = () => undefined;
  return {
    report(event) {
      waiting.push(fitMessage(event));
      if (waiting.length > limit) {
        waiting.shift();
        dropped += 1;
      }
      notify();
    },
    batch: () => takeBatch(waiting),
    settle(batch) {
      const settled = new Set(batch);
      while (waiting[0] !== undefined && settled.has(waiting[0])) waiting.shift();
    },
    onReport(listener) {
      notify = listener;
    },
    newlyDropped() {
      const news = dropped - told;
      told = dropped;
      return news;
    },
    get size() {
      return waiting.length;
    },
    get dropped() {
      return dropped;
    },
  };
}

function takeBatch(waiting: readonly BootstrapEvent[]): readonly BootstrapEvent[] {
  const batch: BootstrapEvent[] = [];
  let bytes = 2;
  for (const event of waiting.slice(0, MAX_EVENTS)) {
    bytes += sizeOf(event) + 1;
    if (batch.length > 0 && bytes > MAX_BATCH_BYTES) break;
    batch.push(event);
  }
  return batch;
}

/** Shortens an event that no message could carry: the first incompatible items, and how many more there are. */
function fitMessage(event: BootstrapEvent): BootstrapEvent {
  if (event.incompatible === undefined || sizeOf(event) <= MAX_BATCH_BYTES) return event;
  const incompatible = event.incompatible.slice(0, MAX_KEPT_INCOMPATIBLE);
  const more = `${event.incompatible.length - incompatible.length} more incompatible items are not listed`;
  return { ...event, incompatible, message: [event.message?.slice(0, 2048), more].filter((part) => part !== undefined).join('; ') };
}

function sizeOf(event: BootstrapEvent): number {
  return new TextEncoder().encode(JSON.stringify(event)).length;
}
