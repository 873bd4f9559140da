import * as z from 'zod';
import { EnvironmentComponentName } from './backlog.ts';
import { Count, Id, Sha256 } from './ids.ts';
import { ActionView } from './reconcile.ts';

/** What is counted of a thing before it goes. */
export const Holding = z.enum(['objects', 'older_versions', 'unfinished_uploads', 'bytes', 'messages', 'unacked']);
export type Holding = z.infer<typeof Holding>;

/** What went through a queue within the last `seconds`, some seconds ago at the latest. */
export const QueueTraffic = z.object({
  seconds: Count,
  /** Messages that were routed into it. */
  came: Count,
  /** Messages that were handed out. */
  taken: Count,
  /** How often somebody asked for a message and there was none. */
  asked_in_vain: Count,
});

/** Who uses a queue, as far as its broker tells. */
export const QueueUse = z
  .object({
    /** Attached now. While there are any the queue stays, whatever is approved. */
    consumers: Count,
    lately: QueueTraffic.optional(),
    /** Why nobody can tell who takes messages without being a consumer. */
    unread: z.string().optional(),
  })
  .meta({ id: 'QueueUse' });
export type QueueUse = Readonly<z.infer<typeof QueueUse>>;

/** What would be lost, and by whom it would be missed. */
export const PruneEvidence = z
  .object({
    /** Nothing would be lost. Else the action needs `include_non_empty`. */
    empty: z.boolean(),
    /** Somebody uses it, or did so lately: needs `include_non_empty` too. `use` says how. */
    used: z.literal(true).optional(),
    use: QueueUse.optional(),
    /** It is empty now, and its backend can't refuse to remove it when that has just changed: needs `include_non_empty` too. */
    unguarded: z.literal(true).optional(),
    holds: z.partialRecord(Holding, Count),
    /** There is more than was counted. */
    at_least: z.literal(true).optional(),
  })
  .meta({ id: 'PruneEvidence' });
export type PruneEvidence = Readonly<z.infer<typeof PruneEvidence>>;

/** One removal. `safety` is `destroy`. `subject` names it within its component and backend. */
export const PruneAction = ActionView.extend({ evidence: PruneEvidence }).meta({ id: 'PruneAction' });
export type PruneAction = Readonly<z.infer<typeof PruneAction>>;

/** A thing that the profile does not name, and that stays all the same. */
export const PruneKept = z.object({ subject: z.string(), detail: z.string() }).meta({ id: 'PruneKept' });
export type PruneKept = Readonly<z.infer<typeof PruneKept>>;

/**
 * The part of one backend. A component with an external has two: that one, and the embedded default beside it. Of
 * `failed` (why its state could not be read), `closed` (why nothing may be removed there now) and `reconciled_by` (the
 * node that reconciles it for the site), each means that `actions` is empty.
 */
export const PruneComponent = z
  .object({
    component: EnvironmentComponentName,
    /** The kind of backend, as `s3`. */
    backend: z.string(),
    /** Names the backend itself, without secrets. */
    identity: z.string(),
    actions: z.array(PruneAction).readonly(),
    kept: z.array(PruneKept).readonly(),
    failed: z.string().optional(),
    closed: z.string().optional(),
    reconciled_by: z.string().optional(),
  })
  .meta({ id: 'PruneComponent' });
export type PruneComponent = Readonly<z.infer<typeof PruneComponent>>;

/**
 * `GET /v1/reconcile/prune` of a node: what it made, the profile no longer names, and may be removed. Never forwarded.
 * `hash` names exactly this, and `POST` takes it for `expires_in_seconds`; absent where there is nothing to approve.
 */
export const PrunePreview = z
  .object({
    node_id: Id,
    /** Of the profile that it was made by. Absent: this node holds none. */
    generation: Count.optional(),
    profile_hash: Sha256.optional(),
    hash: Sha256.optional(),
    expires_in_seconds: Count.optional(),
    /** Why nothing may be removed now, in words; empty where it may. */
    refused: z.array(z.string()),
    components: z.array(PruneComponent),
  })
  .meta({ id: 'PrunePreview' });
export type PrunePreview = Readonly<z.infer<typeof PrunePreview>>;

export const PruneRequest = z
  .strictObject({
    hash: Sha256,
    /** Also what is not empty. Default false: that stays. */
    include_non_empty: z.boolean().optional(),
  })
  .meta({ id: 'PruneRequest' });
export type PruneRequest = Readonly<z.infer<typeof PruneRequest>>;

/**
 * `applied`: it is done. `kept`: it is not empty or in use, and stays. `failed`: `message` says why. `not_tried`:
 * something that it needs had failed or stayed, or the backend does not answer.
 */
export const PruneOutcome = z.enum(['applied', 'kept', 'failed', 'not_tried']).meta({ id: 'PruneOutcome' });
export type PruneOutcome = z.infer<typeof PruneOutcome>;

export const PruneResultItem = PruneAction.extend({
  component: EnvironmentComponentName,
  backend: z.string(),
  identity: z.string(),
  outcome: PruneOutcome,
  message: z.string().optional(),
  duration_ms: z.number().min(0),
}).meta({ id: 'PruneResultItem' });
export type PruneResultItem = Readonly<z.infer<typeof PruneResultItem>>;

export const PruneResult = z
  .object({
    node_id: Id,
    generation: Count,
    hash: Sha256,
    /** Whose credential approved it. */
    approved_by: z.string(),
    results: z.array(PruneResultItem),
  })
  .meta({ id: 'PruneResult' });
export type PruneResult = Readonly<z.infer<typeof PruneResult>>;

/** Why an approval runs nothing. */
export const PruneRefusalCode = z.enum(['prune_expired', 'prune_changed', 'prune_refused']);
export type PruneRefusalCode = z.infer<typeof PruneRefusalCode>;

export interface PruneRefusal {
  readonly code: PruneRefusalCode;
  /** In words for people. */
  readonly detail: string;
}

/** An approval that runs nothing is an answer. */
export type PruneAnswer = PruneResult | { readonly refused: PruneRefusal };
