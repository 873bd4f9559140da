/**
 * The longest TTL that a full database asks for, seconds. A node that is out of reach of its leader learns of a cloud
 * that is gone within a TTL, and looks for something better every four: more than this would cost more than it saves.
 */
export const LONGEST_STRETCH_SECONDS = 600;

/** A heartbeat comes every third of the TTL or up to a fifth sooner (`heartbeatDelayMs`): on average this many in a TTL. */
const CALLS_PER_TTL = 10 / 3;
const SECONDS_PER_DAY = 86_400;
/** The TTL falls only when it could be this many times shorter. */
const SLACK = 1.5;
/** When it falls, it keeps room for this many times the writers, so that some who come back do not raise it again. */
const HEADROOM = 1.25;

export interface Load {
  /** Who writes a row at each interval: the leader of a site that renews its lease, a node that sends its own heartbeat. */
  readonly writers: number;
  /** Rows a day that they may write together. */
  readonly budget: number;
  /** The stretch that is in force, seconds; 0 for none. */
  readonly stretch_seconds: number;
}

/**
 * The TTL, whole seconds, with which `writers` stay within the budget, counted as if each call wrote a row: calls have a
 * price too. 0 where any TTL does. Rises at once, falls late, in steps of an eighth or more, so that nodes which come and go do not move it. Never
 * more than `LONGEST_STRETCH_SECONDS`: beyond that the budget is exceeded (`isBeyondBudget`).
 */
export function stretchSeconds({ writers, budget, stretch_seconds }: Load): number {
  const needed = neededSeconds(writers, budget);
  if (needed > stretch_seconds) return rounded(needed);
  if (needed * SLACK > stretch_seconds) return stretch_seconds;
  return Math.min(stretch_seconds, rounded(needed * HEADROOM));
}

/** True when so many write more than the budget allows, however long the TTL is made. */
export function isBeyondBudget(writers: number, budget: number): boolean {
  return neededSeconds(writers, budget) > LONGEST_STRETCH_SECONDS;
}

/** The TTL that a fleet lives by, seconds: its own, its Cluster Plan's or else the default, unless the database needs a longer one. */
export function ttlInForce(own_seconds: number, stretch_seconds: number): number {
  return Math.max(own_seconds, stretch_seconds);
}

function neededSeconds(writers: number, budget: number): number {
  return (writers * CALLS_PER_TTL * SECONDS_PER_DAY) / budget;
}

/** Up to the next of eight steps between two powers of two; below a second nothing is stretched. */
function rounded(seconds: number): number {
  if (seconds < 1) return 0;
  const step = Math.max(1, 2 ** Math.floor(Math.log2(seconds)) / 8);
  return Math.min(LONGEST_STRETCH_SECONDS, Math.ceil(seconds / step) * step);
}

/** The shortest time from one count of the writers to the next, milliseconds. */
const COUNT_INTERVAL_MS = 600_000;
/** What reading one row of a count costs in waiting, milliseconds: at most 1,440,000 rows are read for it in a day. */
const COUNT_MS_PER_ROW = 60;

/** Milliseconds until the writers are counted again, after a count that read `rows`: the more there are, the more seldom. */
export function countIntervalMs(rows: number): number {
  return Math.max(COUNT_INTERVAL_MS, rows * COUNT_MS_PER_ROW);
}

/** Rows a day, when nothing is set. */
export const WRITE_BUDGETS = {
  /**
   * What costs nothing on Workers and D1 is 100,000 rows written a day, and as many calls. Beside the calls that may write a
   * node or a site makes a third as many that only read.
   */
  worker: 70_000,
  /** What one process takes besides everything else: 2,000 heartbeats a second. */
  node: 172_800_000,
} as const;

/** What can be set, rows a day. */
export const WRITE_BUDGET_LIMITS = [1000, 1_000_000_000_000] as const;

/**
 * Where a row has its price: within this share of the TTL a heartbeat that says nothing new is not written again, so that
 * every third one is. Two heartbeats take two thirds of the TTL at most, and what a network delays is added.
 */
export const UNWRITTEN_SHARE = 0.7;
