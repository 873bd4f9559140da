/** How long a Supervisor keeps what nobody needs any more. */
export interface Retention {
  /** The newest events of a fleet that are kept, number. */
  readonly events: number;
  /** An event that is older than this goes even if there are few, milliseconds. */
  readonly events_ms: number;
  /** A node that was not heard for so long is dropped from the registry, milliseconds. */
  readonly lost_ms: number;
  /** A node that left in order is dropped from the registry after so long, milliseconds. */
  readonly left_ms: number;
}

const DAY_MS = 86_400_000;

/** What an operator sets: numbers of events and of days. */
export interface RetentionSettings {
  readonly keep_events: number;
  readonly keep_event_days: number;
  readonly keep_lost_days: number;
  readonly keep_left_days: number;
}

export const RETENTION_DEFAULTS: RetentionSettings = {
  keep_events: 10_000,
  keep_event_days: 90,
  keep_lost_days: 30,
  keep_left_days: 7,
};

/** What may be set, both ends included. */
export const RETENTION_LIMITS: Readonly<Record<keyof RetentionSettings, readonly [number, number]>> = {
  keep_events: [100, 1_000_000],
  keep_event_days: [1, 3650],
  keep_lost_days: [1, 3650],
  keep_left_days: [1, 3650],
};

export function toRetention({ keep_events, keep_event_days, keep_lost_days, keep_left_days }: RetentionSettings): Retention {
  return {
    events: keep_events,
    events_ms: keep_event_days * DAY_MS,
    lost_ms: keep_lost_days * DAY_MS,
    left_ms: keep_left_days * DAY_MS,
  };
}
