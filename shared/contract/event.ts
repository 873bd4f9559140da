import * as z from 'zod';
import { Count, Id, Sha256, Timestamp } from './ids.ts';
import { Component, ComponentOutcome, Incompatible } from './status.ts';

/** What a node reports of one reconcile step. */
export const BootstrapEvent = z
  .object({
    node_id: Id,
    component: Component,
    /**
     * `reconcile` for the component as a whole, `drift` for what changed since it was applied, else one action: its
     * kind and what it is about (`ensure-queue queue frames`), so that no two of a run have the same.
     */
    action: z.string().min(1).max(256),
    status: ComponentOutcome,
    message: z.string().max(4096).optional(),
    generation: Count.optional(),
    hash: Sha256.optional(),
    idempotency_key: Sha256.optional(),
    attempt: Count.optional(),
    duration_ms: z.number().min(0).optional(),
    incompatible: z.array(Incompatible).max(1000).optional(),
  })
  .meta({ id: 'BootstrapEvent' });
export type BootstrapEvent = z.infer<typeof BootstrapEvent>;

export const MAX_EVENTS = 100;
/** What `last` of the event log goes up to: the newest so many in one answer. */
export const MAX_LAST_EVENTS = 500;
export const BootstrapEvents = z.union([BootstrapEvent, z.array(BootstrapEvent).min(1).max(MAX_EVENTS)]).meta({ id: 'BootstrapEvents' });

/** What the overlay carries beside the bootstrap events. `overlay.heartbeat` is never stored. */
export const EventType = z
  .enum([
    'overlay.register',
    'overlay.leave',
    'overlay.bootstrap',
    'overlay.leader',
    'overlay.plan',
    'overlay.profile',
    'overlay.conflict',
    'overlay.refused',
    'overlay.key',
    'overlay.uplink',
  ])
  .meta({ id: 'EventType' });
export type EventType = z.infer<typeof EventType>;

/** One line of the event log. `cursor` grows; resume with `?after=` or `Last-Event-ID`. */
export const EventRecord = z
  .object({
    cursor: z.string(),
    type: EventType,
    site: Id,
    node_id: Id.optional(),
    at: Timestamp,
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'EventRecord' });
export type EventRecord = z.infer<typeof EventRecord>;

export const EventList = z.object({ events: z.array(EventRecord), next: z.string().optional() }).meta({ id: 'EventList' });
export type EventList = z.infer<typeof EventList>;
