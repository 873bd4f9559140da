import * as z from 'zod';
import { Component } from './status.ts';

/** What one action of a reconcile would do; the wire's form of `ActionView`. */
export const PlannedAction = z
  .object({
    kind: z.string(),
    safety: z.enum(['add', 'update', 'incompatible', 'destroy']),
    subject: z.string(),
    before: z.unknown().optional(),
    after: z.unknown().optional(),
    detail: z.string().optional(),
  })
  .meta({ id: 'PlannedAction' });
export type PlannedAction = z.infer<typeof PlannedAction>;

/** `GET /v1/reconcile/diff` of a node: what its next reconcile would do, by component. Never forwarded, writes nothing. */
export const ReconcileDiff = z
  .object({
    components: z.array(
      z.object({
        component: Component,
        backend: z.string(),
        actions: z.array(PlannedAction),
        /** Why the actual state could not be read. */
        failed: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'ReconcileDiff' });
export type ReconcileDiff = z.infer<typeof ReconcileDiff>;
