import * as z from 'zod';
import { BacklogStatus, EnvironmentComponentName } from './backlog.ts';
import { DocumentKind, Emergency } from './document.ts';
import { Count, HttpUrl, Id, Role, Sha256, Timestamp } from './ids.ts';
import { ServiceReport } from './node.ts';

/** In the order in which they are reconciled. */
export const Component = z.enum(['storage', 'broker', 'vector', 'services']).meta({ id: 'Component' });
export type Component = z.infer<typeof Component>;

export const ComponentOutcome = z.enum(['applied', 'unchanged', 'skipped', 'failed', 'pending']).meta({ id: 'ComponentOutcome' });
export type ComponentOutcome = z.infer<typeof ComponentOutcome>;

/** Something that can't be changed as the documents ask; shown, skipped, never forced. */
export const Incompatible = z.object({ subject: z.string().max(1024), detail: z.string().max(1024) }).meta({ id: 'Incompatible' });
export type Incompatible = z.infer<typeof Incompatible>;

export const ComponentStatus = z
  .object({
    status: ComponentOutcome,
    action: z.string().max(256),
    generation: Count,
    hash: Sha256,
    attempt: Count,
    duration_ms: z.number().min(0),
    message: z.string().max(4096).optional(),
    incompatible: z.array(Incompatible).max(1000),
    at: Timestamp,
  })
  .meta({ id: 'ComponentStatus' });
export type ComponentStatus = z.infer<typeof ComponentStatus>;

export const Components = z.partialRecord(Component, ComponentStatus);
export type Components = z.infer<typeof Components>;

export const NodeStatus = z.object({ node_id: Id, components: Components, last_generation: Count.optional() }).meta({ id: 'NodeStatus' });
export type NodeStatus = z.infer<typeof NodeStatus>;
export const NodeStatusList = z.object({ nodes: z.array(NodeStatus), next: z.string().optional() }).meta({ id: 'NodeStatusList' });

/** An emergency version that is followed, until the cloud publishes a newer generation of that document. */
export const HeldEmergency = Emergency.extend({
  kind: DocumentKind,
  hash: Sha256,
  published_by: z.string().max(256),
  published_at: Timestamp,
}).meta({ id: 'HeldEmergency' });
export type HeldEmergency = z.infer<typeof HeldEmergency>;

/** `GET /v1/state`: the logical state of a site in one read. */
export const SiteState = z
  .object({
    fleet: Id,
    site: Id,
    leader: z.object({ node_id: Id, leader_url: HttpUrl, epoch: Count, provisional: z.boolean() }).optional(),
    nodes: z.object({ online: Count, late: Count, lost: Count, left: Count }),
    desired: z.object({ plan: Count.optional(), profile: Count.optional() }),
    /** Versions that lost to another and wait for a person; `bootplane conflicts` shows them. */
    conflicts: z.object({ plan: Count, profile: Count }).default({ plan: 0, profile: 0 }),
    /** The emergency versions that the site follows instead of what the fleet has. Absent while there is none. */
    emergencies: z.array(HeldEmergency).optional(),
    services: z.array(z.object({ name: Id, version: z.string(), wanted: Count.optional(), running: Count, nodes: z.array(Id) })),
    components: z.partialRecord(Component, z.partialRecord(ComponentOutcome, Count)),
    devices: Count,
  })
  .meta({ id: 'SiteState' });
export type SiteState = z.infer<typeof SiteState>;

/** Where the desired state that a node follows comes from. */
export const Source = z.enum(['mdns', 'peer', 'cloud', 'self', 'cache']);

export const HealthState = z.enum(['ok', 'degraded', 'starting']);

/** A file of the node that could not be used, and was moved away for a person to look at. */
export const FileSetAside = z
  .object({
    file: z.string(),
    why: z.string(),
    /** Its name now, in the same folder. Absent when it could not be moved. */
    kept_as: z.string().optional(),
    /** `other_key`: it is whole, and signed with another fleet key than this node has. Absent: it is damaged. */
    reason: z.enum(['other_key']).optional(),
    at: Timestamp,
  })
  .meta({ id: 'FileSetAside' });
export type FileSetAside = z.infer<typeof FileSetAside>;

/** `GET /healthz` with a credential. Without one only `status`. */
export const Health = z
  .object({
    status: HealthState,
    /** Of bootplane, where it runs. */
    version: z.string().optional(),
    node_id: Id.optional(),
    fleet: Id.optional(),
    /** What the credential of the caller allows. */
    scope: z.string().optional(),
    site: Id.optional(),
    role: Role.optional(),
    epoch: Count.optional(),
    leader_url: HttpUrl.optional(),
    control_plane_url: HttpUrl.optional(),
    provisional: z.boolean().optional(),
    /** Leads and holds the lease of the cloud. */
    confirmed: z.boolean().optional(),
    leader_node_id: Id.optional(),
    /** How the control plane was found. */
    source: Source.optional(),
    adapters: z.object({ storage: z.string(), broker: z.string(), vector: z.string() }).optional(),
    components: Components.optional(),
    /** Of each component with an external: whether that answers, and what waits here to go there. */
    backlog: z.partialRecord(EnvironmentComponentName, BacklogStatus).optional(),
    services: z.array(ServiceReport).optional(),
    /** What `degraded` waits for, in words. */
    waiting_for: z.array(z.string()).optional(),
    /** What this node follows instead of what the cloud published. Absent while there is none. */
    emergencies: z.array(HeldEmergency).optional(),
    /** What could not be used since the start of the process; all of it was made anew. */
    set_aside: z.array(FileSetAside).optional(),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof Health>;

/** `cluster.json`: what other software on the machine may read. */
export const ClusterFile = z
  .object({
    node_id: Id,
    fleet: Id,
    site: Id,
    role: Role,
    leader_url: HttpUrl.optional(),
    leader_node_id: Id.optional(),
    control_plane_url: HttpUrl.optional(),
    gateway_url: HttpUrl.optional(),
    epoch: Count,
    provisional: z.boolean(),
    ttl_seconds: z.number().positive(),
    services: z.array(ServiceReport.pick({ name: true, version: true, state: true })),
    plan_generation: Count.optional(),
    profile_generation: Count.optional(),
    source: Source,
    updated_at: Timestamp,
  })
  .meta({ id: 'ClusterFile' });
export type ClusterFile = z.infer<typeof ClusterFile>;
