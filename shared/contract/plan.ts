import * as z from 'zod';
import { Count, HttpUrl, Id, Role, Sha256 } from './ids.ts';
import { refuseIllFormed } from './unicode.ts';

const EnvName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be a name of letters, digits and _ that does not start with a digit');
const Text = z
  .string()
  .max(4096)
  .refine((text) => !text.includes('\0'), 'must not hold a NUL character');
const Command = z
  .array(Text)
  .min(1, 'must name a program')
  .max(256)
  .refine(([program]) => program !== '', { path: [0], message: 'must name a program' });
const Seconds = z.number().positive().max(86_400);
/** A check costs a connection or a process: none runs without a pause. */
const CheckSeconds = z.number().min(0.1).max(86_400);

const HealthTiming = {
  interval_seconds: CheckSeconds.default(5),
  timeout_seconds: CheckSeconds.default(2),
  grace_seconds: z.number().min(0).max(86_400).default(10),
};
/** Exactly one of http, tcp, command. */
export const ServiceHealth = z
  .object({
    http: HttpUrl.optional(),
    tcp: z
      .string()
      .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}$/, 'must be host:port')
      .refine((address) => isPort(Number(address.split(':').at(-1))), 'must have a port from 1 to 65535')
      .optional(),
    command: Command.optional(),
    ...HealthTiming,
  })
  .refine(
    (health) => [health.http, health.tcp, health.command].filter((one) => one !== undefined).length === 1,
    'must have exactly one of http, tcp and command',
  )
  .meta({ id: 'ServiceHealth' });
export type ServiceHealth = z.infer<typeof ServiceHealth>;

/** Empty lists mean everywhere; `count` is per site. */
export const Placement = z
  .object({
    sites: z.array(Id).max(1024).default([]),
    roles: z.array(Role).max(3).default([]),
    capabilities: z.array(Id).max(64).default([]),
    nodes: z.array(Id).max(1024).default([]),
    count: z.number().int().min(0).max(10_000).optional(),
  })
  .meta({ id: 'Placement' });
export type Placement = z.infer<typeof Placement>;

export const PlannedService = z
  .object({
    name: Id,
    version: z.string().min(1).max(128),
    command: Command,
    artifact: z.object({ sha256: Sha256, path: z.string().min(1).max(1024) }).optional(),
    env: z.record(EnvName, Text).default({}),
    user: z
      .string()
      .regex(/^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$/, 'must be a user name')
      .optional(),
    placement: Placement.prefault({}),
    health: ServiceHealth.optional(),
    restart: z.object({ max: z.number().int().min(0).max(1000).default(10), window_seconds: Seconds.default(300) }).prefault({}),
    stop_grace_seconds: z.number().min(0).max(3600).default(10),
  })
  .meta({ id: 'PlannedService' });
/** A service as it stands in a Cluster Plan, defaults filled in. */
export type PlannedService = z.infer<typeof PlannedService>;

export const ClusterPlan = z
  .object({
    ttl_seconds: z.number().int().min(1).max(86_400).optional(),
    services: z.array(PlannedService).max(1000),
  })
  .superRefine((plan, context) => {
    const seen = new Set<string>();
    for (const [index, { name }] of plan.services.entries()) {
      if (seen.has(name))
        context.addIssue({ code: 'custom', path: ['services', index, 'name'], message: `two services are named ${name}` });
      seen.add(name);
    }
  })
  .superRefine(refuseIllFormed)
  .meta({ id: 'ClusterPlan' });
export type ClusterPlan = z.infer<typeof ClusterPlan>;

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

export const PlanRequest = z.object({ node_id: Id }).meta({ id: 'PlanRequest' });

export const ServiceName = z.object({ name: Id, version: z.string() });
export const Successor = z.object({ node_id: Id, url: HttpUrl });

/**
 * The backends of the leader's own node that other machines see too, each by its identity (an origin, without
 * secrets). The leader reconciles these for its site.
 */
export const SharedBackends = z
  .partialRecord(z.enum(['storage', 'broker', 'vector']), z.string().min(1).max(1024))
  .meta({ id: 'SharedBackends' });
export type SharedBackends = Readonly<z.infer<typeof SharedBackends>>;

/** What one node is told to do. It selects names only: what runs comes from the signed Cluster Plan. */
export const NodePlan = z
  .object({
    role: Role,
    services: z.array(ServiceName),
    control_plane_url: HttpUrl,
    gateway_url: HttpUrl,
    epoch: Count,
    leader_node_id: Id,
    successors: z.array(Successor),
    ttl_seconds: z.number().positive(),
    /** The boot of the node whose reports placement went by; absent where the node registered without one. */
    instance_id: Id.optional(),
    /** Of the Cluster Plan that `services` was placed from; absent while none is published. */
    generation: Count.optional(),
    hash: Sha256.optional(),
    /** The number of the emergency version on that generation; absent for a version of the sequence. */
    emergency: Count.optional(),
    /** Absent where no leader of the site answers: then each node reconciles what it works on. */
    leader_backends: SharedBackends.optional(),
  })
  .meta({ id: 'NodePlan' });
export type NodePlan = z.infer<typeof NodePlan>;
