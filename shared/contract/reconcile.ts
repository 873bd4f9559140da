import * as z from 'zod';
import { Id } from './ids.ts';
import { ClusterPlan } from './plan.ts';
import { EnvironmentProfile } from './profile.ts';
import { Component } from './status.ts';

/**
 * `add` and `update` run by themselves. `incompatible` is shown and skipped. `destroy` removes data
 * or shortens its life and never runs without intent.
 */
export const Safety = z.enum(['add', 'update', 'incompatible', 'destroy']).meta({ id: 'Safety' });
export type Safety = z.infer<typeof Safety>;

/** What every action of every component says of itself, for people and for `--dry-run`. */
export const ActionView = z
  .object({
    /** The action, as `ensure-bucket`. */
    kind: z.string(),
    safety: Safety,
    /** What it is about, as `bucket captures` or `queue frames`. */
    subject: z.string(),
    before: z.unknown().optional(),
    after: z.unknown().optional(),
    /** For `incompatible` and `destroy`: why it is skipped and what a person can do. */
    detail: z.string().optional(),
  })
  .meta({ id: 'ActionView' });
export type ActionView = Readonly<z.infer<typeof ActionView>>;

/** What an apply would do to the embedded default beside an external. */
export const EmbeddedDiff = z
  .object({ backend: z.string(), actions: z.array(ActionView).readonly(), failed: z.string().optional() })
  .meta({ id: 'EmbeddedDiff' });

/**
 * What an apply of one component would do. `failed` names why the actual state could not be read, `reconciled_by` the
 * node that reconciles this backend for the site, where that is another one. `embedded`: where an external is
 * configured, what stands in while that is away, which each node brings to the profile for itself.
 */
export const ComponentDiff = z
  .object({
    component: Component,
    backend: z.string(),
    actions: z.array(ActionView).readonly(),
    failed: z.string().optional(),
    reconciled_by: z.string().optional(),
    embedded: EmbeddedDiff.optional(),
    /** Services with a `count` that may come to this node or go: only the leader of the site can tell. */
    undecided: z.array(Id).readonly().optional(),
  })
  .meta({ id: 'ComponentDiff' });
export type ComponentDiff = Readonly<z.infer<typeof ComponentDiff>>;

/**
 * `GET /v1/reconcile/diff` of a node: what its next reconcile would do, by component; `POST`: what it would do with drafts,
 * for the components that they are about. Never forwarded, writes nothing.
 */
export const ReconcileDiff = z.object({ components: z.array(ComponentDiff) }).meta({ id: 'ReconcileDiff' });
export type ReconcileDiff = z.infer<typeof ReconcileDiff>;

/** Documents that nobody has published, to see what they would do: one of them, or both. */
export const DraftDocuments = z
  .object({ profile: EnvironmentProfile.optional(), plan: ClusterPlan.optional() })
  .meta({ id: 'DraftDocuments' });

/** Drafts with their defaults, as the node that compares them is given them. */
export interface Drafts {
  readonly profile?: EnvironmentProfile;
  readonly plan?: ClusterPlan;
  /** The nodes of each service of `plan` that has a `count`. Absent where only the leader of the site can tell. */
  readonly placed?: Readonly<Record<string, readonly string[]>>;
}
