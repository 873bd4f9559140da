import { integer, primaryKey, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';
import type { EventType } from '../../contract/event.ts';
import type { Role } from '../../contract/ids.ts';
import type { Device, ServiceReport } from '../../contract/node.ts';
import type { Component, ComponentOutcome, Incompatible } from '../../contract/status.ts';

/** What `nodes.lead` holds: whether a node may lead its site, and whether before or after the others. */
export const LEADS = { never: 0, may: 1, last: 2 } as const;

/**
 * The tables of `migrations/0001_registry.sql`, with what later migrations add to them. The migrations are the source: a test compares the two.
 * Properties are named as their columns, so that a row is read without renaming.
 */
export const nodes = sqliteTable(
  'nodes',
  {
    fleet: text().notNull(),
    node_id: text().notNull(),
    site: text().notNull(),
    instance_id: text(),
    displaced_instance_id: text(),
    displaced_at: integer(),
    role: text().$type<Role>().notNull(),
    url: text(),
    host: text().notNull(),
    ip: text().notNull(),
    capabilities: text({ mode: 'json' }).$type<string[]>().notNull(),
    versions: text({ mode: 'json' }).$type<Record<string, string>>().notNull(),
    devices: text({ mode: 'json' }).$type<Device[]>().notNull(),
    services_running: text({ mode: 'json' }).$type<ServiceReport[]>().notNull(),
    metrics: text({ mode: 'json' }).$type<Record<string, number>>(),
    registered_at: integer().notNull(),
    heard_at: integer().notNull(),
    left_at: integer(),
    /** One of `LEADS`. */
    lead: integer().notNull(),
    uplink_epoch: integer(),
    ttl_seconds: real(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.node_id] })],
);

export const leases = sqliteTable(
  'leases',
  {
    fleet: text().notNull(),
    site: text().notNull(),
    node_id: text().notNull(),
    url: text().notNull(),
    epoch: integer().notNull(),
    expires_at: integer().notNull(),
    renewals: integer().notNull(),
    ended: text().$type<'released' | 'yielded'>(),
    since_epoch: integer().notNull().default(0),
    uplink_epoch: integer(),
    uplinked_at: integer(),
    uplink_session: text(),
    uplink_seq: integer(),
    granted_ms: integer().notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.site] })],
);

export const desired = sqliteTable(
  'desired',
  {
    fleet: text().notNull(),
    kind: text().$type<'plan' | 'profile'>().notNull(),
    generation: integer().notNull(),
    hash: text().notNull(),
    ttl_seconds: integer(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.kind] })],
);

/** How the write budget of the whole database stretches the TTL (`migrations/0010_ttl.sql`). */
export const pace = sqliteTable(
  'pace',
  {
    fleet: text().notNull(),
    stretch_seconds: integer().notNull(),
    writers: integer().notNull(),
    counted_rows: integer().notNull(),
    counted_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet] })],
);

export const events = sqliteTable(
  'events',
  {
    fleet: text().notNull(),
    seq: integer().notNull(),
    type: text().$type<EventType>().notNull(),
    site: text().notNull(),
    node_id: text(),
    at: integer().notNull(),
    dedupe: text().notNull(),
    data: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.seq] }), uniqueIndex('events_by_dedupe').on(table.fleet, table.dedupe)],
);

/** How far the event log was put on the bus (`migrations/0004_outbox.sql`). */
export const outbox = sqliteTable(
  'outbox',
  {
    fleet: text().notNull(),
    published: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet] })],
);

export const component_status = sqliteTable(
  'component_status',
  {
    fleet: text().notNull(),
    node_id: text().notNull(),
    component: text().$type<Component>().notNull(),
    status: text().$type<ComponentOutcome>().notNull(),
    action: text().notNull(),
    generation: integer().notNull(),
    hash: text().notNull(),
    attempt: integer().notNull(),
    duration_ms: real().notNull(),
    message: text(),
    incompatible: text({ mode: 'json' }).$type<Incompatible[]>().notNull(),
    at: integer().notNull(),
    seq: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.node_id, table.component] })],
);
