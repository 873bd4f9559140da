import * as z from 'zod';
import { Count, HttpUrl, Id, Timestamp } from './ids.ts';

export const ClaimRequest = z
  .object({
    node_id: Id,
    url: HttpUrl,
    /** The epoch that the claimant holds: a renewal. */
    epoch: Count.optional(),
    /** The highest epoch that the claimant has seen anywhere. */
    epoch_seen: Count.optional(),
  })
  .meta({ id: 'ClaimRequest' });
export type ClaimRequest = z.infer<typeof ClaimRequest>;

/** An epoch may grow by this much at a time; more is a forgery or a fault. */
export const MAX_EPOCH_JUMP = 1_000_000;

export const ClaimAnswer = z
  .object({
    granted: z.boolean(),
    leader_url: HttpUrl,
    node_id: Id,
    epoch: Count,
    expires_at: Timestamp,
    /** Milliseconds left when the answer was made. */
    expires_in_ms: Count,
  })
  .meta({ id: 'ClaimAnswer' });
export type ClaimAnswer = z.infer<typeof ClaimAnswer>;

/** What a node adds to its answer when it was challenged; on 404 `no_leader` too. */
export const LeaderProved = z.object({
  proof: z.string().optional(),
  /** The node that answered and signed the proof; its `node_id` inside it. */
  proved_by: Id.optional(),
  /** The boot of that node: tells it from a copy of its disk. */
  proved_by_instance: Id.optional(),
  /** The highest epoch that the node has ever seen. */
  epoch_seen: Count.optional(),
  /** Whether the node may lead its site. */
  eligible: z.boolean().optional(),
});

export const Leader = z
  .object({
    leader_url: HttpUrl,
    node_id: Id,
    epoch: Count,
    expires_at: Timestamp,
    expires_in_ms: Count,
    /** Leads without the confirmation of the cloud that is configured. */
    provisional: z.boolean(),
    /** Holds the lease of the cloud. Neither provisional nor confirmed: no cloud is configured. */
    confirmed: z.boolean().default(false),
    /** Nodes of the site that this Supervisor has heard within a TTL. */
    nodes_heard: Count.default(0),
    ...LeaderProved.shape,
  })
  .meta({ id: 'Leader' });
export type Leader = z.infer<typeof Leader>;

export const ReleaseRequest = z
  .object({
    node_id: Id,
    epoch: Count,
    /** Another leads already, so that nobody is asked to take over. */
    yields: z.boolean().optional(),
  })
  .meta({ id: 'ReleaseRequest' });
export type ReleaseRequest = z.infer<typeof ReleaseRequest>;

/**
 * What a leader proof covers; signed with the discovery key. What describes the leader is null while
 * nobody leads.
 */
export interface LeaderProof extends Record<string, unknown> {
  readonly purpose: 'leader-proof';
  readonly challenge: string;
  readonly fleet: string;
  readonly site: string;
  /** As the challenger dialled it; a node signs only origins of its own. */
  readonly origin: string;
  /** Who answers. */
  readonly node_id: string;
  readonly instance_id: string;
  /** The highest epoch that the one who answers has ever seen, and whether it may lead. */
  readonly epoch_seen: number;
  readonly eligible: boolean;
  readonly leader_node_id: string | null;
  readonly leader_url: string | null;
  readonly epoch: number | null;
  readonly provisional: boolean | null;
  readonly confirmed: boolean | null;
  readonly nodes_heard: number | null;
}
