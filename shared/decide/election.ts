import { compareText } from './rendezvous.ts';

/** One who may elect itself in the same round. */
export interface Elector {
  readonly node_id: string;
  readonly eligible: boolean;
}

const BOOT_STEP_MS = 150;
/** What the one before needs to answer a challenge, milliseconds. */
const BOOT_SPREAD_MS = 20;
/** Those far behind look again sooner than their turn comes: somebody has surely claimed by then. */
const MAX_BOOT_RANK = 20;
const TAKEOVER_STEP_MS = 100;
const TAKEOVER_SPREAD_MS = 50;

/** Those before this node when nobody leads, the first one first: who may lead and has a smaller node_id. */
export function beforeAtBoot<T extends Elector>(node_id: string, others: readonly T[]): T[] {
  const before = others.filter((other) => other.eligible && compareText(other.node_id, node_id) < 0);
  return before.sort((a, b) => compareText(a.node_id, b.node_id));
}

/** Milliseconds before a node elects itself though nobody leads, by how many are before it. `random` is in [0, 1). */
export function bootWaitMs(rank: number, random: number): number {
  return rank === 0 ? 0 : Math.min(rank, MAX_BOOT_RANK) * BOOT_STEP_MS + random * BOOT_SPREAD_MS;
}

/**
 * So long a node without the fleet key waits beside that, milliseconds: those that hold it can sign an emergency version, and the
 * first of them have had their turn by then, at a cloud that does not answer too.
 */
export const BEHIND_HOLDERS_MS = 4500;

/** What the one before needs to ask the cloud, to claim there and to say so on the LAN, milliseconds. */
const CLOUD_STEP_MS = 500;
/** Who is far behind asks by then anyway: the first ones may be cut off from the cloud. */
const MAX_CLOUD_RANK = 6;
/** Sites that lost their power together come back together. */
const CLOUD_SPREAD_MS = 500;

/**
 * Milliseconds before a node that has just started asks the cloud, by how many of its LAN are before it: of a site that
 * boots at once the first asks, and the others hear of it. `random` is in [0, 1).
 */
export function cloudWaitMs(rank: number, random: number): number {
  return Math.min(rank, MAX_CLOUD_RANK) * CLOUD_STEP_MS + random * CLOUD_SPREAD_MS;
}

/** Those of the succession who claim before this node; all of them when it is not among them. */
export function beforeInSuccession<T extends { readonly node_id: string }>(node_id: string, gone: string, successors: readonly T[]): T[] {
  const living = successors.filter((one) => one.node_id !== gone);
  const index = living.findIndex((one) => one.node_id === node_id);
  return index < 0 ? living : living.slice(0, index);
}

/** Milliseconds before a node takes over, by how many of the succession are before it. */
export function takeoverWaitMs(rank: number, isSuccessor: boolean, random: number): number {
  return rank * TAKEOVER_STEP_MS + (isSuccessor ? 0 : random * TAKEOVER_SPREAD_MS);
}
