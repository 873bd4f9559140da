import type { FencingToken } from '../contract/headers.ts';
import { MAX_EPOCH_JUMP } from '../contract/leader.ts';
import { compareText } from './rendezvous.ts';

/** A leader that has proved to know the fleet. */
export interface ProvedLeader extends FencingToken {
  /** The cloud confirmed its lease. */
  readonly confirmed: boolean;
  /** How many nodes it has heard within a TTL. */
  readonly nodes_heard: number;
}

/**
 * Orders two leaders of one site that met, the winner first (negative: `a` wins): confirmed before
 * provisional, then more nodes heard, then the higher epoch, then the smaller node_id. Zero only for
 * one and the same.
 */
export function compareLeaders(a: ProvedLeader, b: ProvedLeader): number {
  return (
    Number(b.confirmed) - Number(a.confirmed) || b.nodes_heard - a.nodes_heard || b.epoch - a.epoch || compareText(a.node_id, b.node_id)
  );
}

/** True when an epoch that somebody says he has seen is too far above the known one to be true. */
export function isEpochJump(known: number, seen: number): boolean {
  return seen - known > MAX_EPOCH_JUMP;
}

/**
 * Whether a write may go through, by the token that its sender believes in and the lease that this
 * Supervisor knows (absent: nobody leads). A lower epoch is stale, and so is another leader at the
 * same one. A higher token goes through: it is a hint to look for that leader, not a reason to refuse.
 */
export function fence(token: FencingToken | undefined, lease: FencingToken | undefined): 'accept' | 'stale' {
  if (token === undefined || lease === undefined || token.epoch > lease.epoch) return 'accept';
  return token.epoch === lease.epoch && token.node_id === lease.node_id ? 'accept' : 'stale';
}

/**
 * Whether a node may turn to a proved leader: never to a lower epoch than the highest that it has
 * seen (`known`), and away from a leader that is well (`followed`) only to a higher one.
 */
export function isFollowable(leader: FencingToken, known: number, followed?: FencingToken): boolean {
  if (isEpochJump(known, leader.epoch)) return false;
  if (followed === undefined) return leader.epoch >= known;
  return leader.epoch > followed.epoch || (leader.epoch === followed.epoch && leader.node_id === followed.node_id);
}
