import * as z from 'zod';
import { EventType } from './event.ts';
import { Count, HttpUrl, Id, Role, Versions } from './ids.ts';
import { ClaimAnswer } from './leader.ts';
import { Device, ServiceReport } from './node.ts';
import { Component, ComponentStatus } from './status.ts';

/** At most this many nodes in one uplink, and as many events. */
export const MAX_UPLINK_ITEMS = 500;

/** As `ComponentStatus`. Times of a site are told as ages, so that the clocks of a site and of the cloud need not agree. */
export const UplinkStatus = ComponentStatus.omit({ at: true })
  .extend({
    /** Milliseconds since the leader was told. */
    age_ms: Count,
  })
  .meta({ id: 'UplinkStatus' });
export type UplinkStatus = z.infer<typeof UplinkStatus>;

/** A node of a site as its leader knows it. */
export const UplinkNode = z
  .object({
    node_id: Id,
    instance_id: Id.optional(),
    role: Role,
    capabilities: z.array(Id).max(64),
    host: z.string().min(1).max(255),
    ip: z.union([z.ipv4(), z.ipv6()]),
    url: HttpUrl.optional(),
    versions: Versions,
    devices: z.array(Device).max(256).optional(),
    /** False for a node that may not lead its site. Absent: it may. */
    lead: z.literal(false).optional(),
    services_running: z.array(ServiceReport).max(256),
    /** Milliseconds since it registered with its leader. A later registration elsewhere counts more. */
    registered_ms: Count,
    /** Milliseconds since it was heard, of a node that its leader does not count as online. Absent: it speaks for it from now on. */
    silent_ms: Count.optional(),
    components: z.partialRecord(Component, UplinkStatus).optional(),
  })
  .meta({ id: 'UplinkNode' });
export type UplinkNode = z.infer<typeof UplinkNode>;

/** `GET /v1/sites/uplink`: what the leader of a site has to tell of its nodes, in the order of their ids. */
export const UplinkPage = z
  .object({
    nodes: z.array(UplinkNode),
    /** Nodes that said that they are not expected any more. */
    gone: z.array(Id),
    next: z.string().optional(),
  })
  .meta({ id: 'UplinkPage' });
export type UplinkPage = z.infer<typeof UplinkPage>;

/** What a site's leader tells of: what the cloud does not know by itself. Documents and keys are made there, so a site says nothing of them. */
export const UplinkEventType = EventType.extract([
  'overlay.register',
  'overlay.leave',
  'overlay.bootstrap',
  'overlay.leader',
  'overlay.refused',
]);
export type UplinkEventType = z.infer<typeof UplinkEventType>;

/** A line of the leader's own event log. */
export const UplinkEvent = z
  .object({
    /** In that log. */
    cursor: z.string().regex(/^\d{1,15}$/, 'must be the cursor of an event'),
    /** Passed over where it is no `UplinkEventType` of the one that is told. */
    type: z.string().min(1).max(128),
    node_id: Id.optional(),
    /** As the leader's log says when it was. Only tells it from another event with the same cursor. */
    at: z.iso.datetime(),
    /** Milliseconds since then. */
    age_ms: Count,
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'UplinkEvent' });
export type UplinkEvent = z.infer<typeof UplinkEvent>;

/**
 * `POST /v1/sites/uplink`: renews the lease of a site and tells what has changed there since the call before. What
 * is not named stays as it was told.
 */
export const UplinkRequest = z
  .object({
    node_id: Id,
    /** The boot of the sender: tells it from a copy of its disk. */
    instance_id: Id.optional(),
    url: HttpUrl,
    /** The epoch of the lease that it holds. */
    epoch: Count,
    site: Id.default('default'),
    /** Made anew whenever the leader begins from the start. */
    session: Id,
    /** 1 for the first call of a session, and one more for each call that was taken. A call without an answer is sent again under its number. */
    seq: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    /** Begins a session: nodes of the site that neither this call names nor one after it are spoken for no more. */
    full: z.boolean().optional(),
    nodes: z.array(UplinkNode).max(MAX_UPLINK_ITEMS).optional(),
    gone: z.array(Id).max(MAX_UPLINK_ITEMS).optional(),
    events: z.array(UplinkEvent).max(MAX_UPLINK_ITEMS).optional(),
    /** How many events before these had gone from the leader's log before they could be sent; at most. */
    missed_events: Count.optional(),
  })
  .meta({ id: 'UplinkRequest' });
export type UplinkRequest = z.input<typeof UplinkRequest>;

/** As the answer to a claim: a lease that was lost is a normal answer, and says to whom. */
export const UplinkAnswer = ClaimAnswer.extend({
  /** The `seq` of the call, when all of it was taken. */
  acked: Count.optional(),
  /** The lease is held, but this Supervisor does not know what was told before: begin a new session. */
  resync: z.literal(true).optional(),
  /** Another machine runs as the node that sent this, and talks to this Supervisor itself: says where, and what to do. */
  duplicate: z.string().optional(),
}).meta({ id: 'UplinkAnswer' });
export type UplinkAnswer = z.infer<typeof UplinkAnswer>;
