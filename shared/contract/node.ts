import * as z from 'zod';
import { Count, HttpUrl, Id, Role, Timestamp, Versions } from './ids.ts';

/** A thing attached to a node (camera, sensor, phone) that the node speaks for. */
export const Device = z
  .object({ id: Id, kind: z.string().max(128), labels: z.record(z.string().max(128), z.string().max(256)).optional() })
  .meta({ id: 'Device' });
export type Device = z.infer<typeof Device>;

export const ServiceState = z
  .enum(['starting', 'running', 'unhealthy', 'backoff', 'failed', 'stopping', 'stopped'])
  .meta({ id: 'ServiceState' });
export type ServiceState = z.infer<typeof ServiceState>;

export const ServiceReport = z
  .object({
    name: Id,
    version: z.string().max(128),
    state: ServiceState,
    health: z.string().max(1024).optional(),
    restarts: Count.optional(),
  })
  .meta({ id: 'ServiceReport' });
export type ServiceReport = z.infer<typeof ServiceReport>;

export const RegisterRequest = z
  .object({
    node_id: Id,
    instance_id: Id.optional(),
    previous_instance_id: Id.optional(),
    site: Id.optional(),
    capabilities: z.array(Id).max(64),
    host: z.string().min(1).max(255),
    ip: z.union([z.ipv4(), z.ipv6()]),
    /** Where other nodes reach it. A node without one is never a successor. */
    url: HttpUrl.optional(),
    versions: Versions,
    devices: z.array(Device).max(256).optional(),
    /** What runs already, so that a new leader does not give its place away. Absent: as last reported. */
    services_running: z.array(ServiceReport).max(256).optional(),
    /** False for a node that may not lead its site: it is never a successor. */
    lead: z.boolean().default(true),
    /** True for a node without the fleet key that may lead: it comes after all successors that hold the key, since those can sign. */
    leads_last: z.boolean().optional(),
    desired: z.object({ plan: Count.optional(), profile: Count.optional() }).optional(),
  })
  .meta({ id: 'RegisterRequest' });
export type RegisterRequest = z.input<typeof RegisterRequest>;

export const RegisterAnswer = z.object({ registered: z.literal(true) }).meta({ id: 'RegisterAnswer' });

export const HeartbeatRequest = z
  .object({
    node_id: Id,
    instance_id: Id.optional(),
    role: Role,
    services_running: z.array(ServiceReport).max(256),
    versions: Versions,
    metrics: z.record(z.string().max(128), z.number()).optional(),
    /** The TTL that the node lives by: the next heartbeat comes within a third of it. A Supervisor with a shorter one waits for this one. */
    ttl_seconds: z.number().positive().max(86_400).optional(),
  })
  .meta({ id: 'HeartbeatRequest' });
export type HeartbeatRequest = z.infer<typeof HeartbeatRequest>;

/** At most this many heartbeats in one batch. */
export const MAX_HEARTBEATS = 500;

export const HeartbeatsRequest = z
  .object({ heartbeats: z.array(HeartbeatRequest).min(1).max(MAX_HEARTBEATS) })
  .meta({ id: 'HeartbeatsRequest' });

/** `rejected` lists the nodes that have to register again or are clones. */
export const HeartbeatsAnswer = z
  .object({ accepted: Count, rejected: z.array(z.object({ node_id: Id, code: z.enum(['unknown_node', 'duplicate_node', 'forbidden']) })) })
  .meta({ id: 'HeartbeatsAnswer' });
export type HeartbeatsAnswer = z.infer<typeof HeartbeatsAnswer>;

export const LeaveRequest = z.object({ node_id: Id }).meta({ id: 'LeaveRequest' });

/** `online`: heard within the TTL. `late`: within three. `lost`: not. `left`: it said so. */
export const Liveness = z.enum(['online', 'late', 'lost', 'left']).meta({ id: 'Liveness' });
export type Liveness = z.infer<typeof Liveness>;

/** Some of them, with commas between, as a query names them: `late,lost`. */
export const LivenessList = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(Liveness).max(4));

export const NodeRecord = z
  .object({
    node_id: Id,
    site: Id,
    instance_id: Id.optional(),
    role: Role,
    capabilities: z.array(Id),
    host: z.string(),
    ip: z.string(),
    url: HttpUrl.optional(),
    versions: Versions,
    devices: z.array(Device).optional(),
    liveness: Liveness,
    /** False for a node that may not lead its site. Absent: it may. */
    lead: z.literal(false).optional(),
    services_running: z.array(ServiceReport),
    metrics: z.record(z.string(), z.number()).optional(),
    registered_at: Timestamp,
    heard_at: Timestamp,
  })
  .meta({ id: 'NodeRecord' });
export type NodeRecord = z.infer<typeof NodeRecord>;

export const NodeList = z.object({ nodes: z.array(NodeRecord), next: z.string().optional() }).meta({ id: 'NodeList' });
export type NodeList = z.infer<typeof NodeList>;

/** A device with the node that speaks for it; its liveness is that node's. */
export const DeviceRecord = Device.extend({ node_id: Id, site: Id, liveness: Liveness }).meta({ id: 'DeviceRecord' });
export const DeviceList = z.object({ devices: z.array(DeviceRecord), next: z.string().optional() }).meta({ id: 'DeviceList' });
export type DeviceList = z.infer<typeof DeviceList>;
