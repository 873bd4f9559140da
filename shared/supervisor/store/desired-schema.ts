import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { DocumentKind } from '../../contract/document.ts';

/** The tables of `migrations/0002_documents.sql`, which is the source: a test compares the two. */
export const documents = sqliteTable(
  'documents',
  {
    fleet: text().notNull(),
    kind: text().$type<DocumentKind>().notNull(),
    generation: integer().notNull(),
    hash: text().notNull(),
    parent: text(),
    published_by: text().notNull(),
    published_at: text().notNull(),
    epoch: integer().notNull(),
    key_id: text().notNull(),
    signature: text().notNull(),
    conflict: integer().$type<0 | 1 | 2>().notNull(),
    body: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.kind, table.generation, table.hash] })],
);

/** The table of `migrations/0007_emergency.sql`. */
export const emergencies = sqliteTable(
  'emergencies',
  {
    fleet: text().notNull(),
    kind: text().$type<DocumentKind>().notNull(),
    site: text().notNull(),
    generation: integer().notNull(),
    n: integer().notNull(),
    hash: text().notNull(),
    parent: text(),
    published_by: text().notNull(),
    published_at: text().notNull(),
    epoch: integer().notNull(),
    key_id: text().notNull(),
    signature: text().notNull(),
    body: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.kind, table.site, table.generation, table.n, table.hash] })],
);

/** A node and where others reach it. */
export interface Reachable {
  readonly node_id: string;
  readonly url: string;
}

export const placements = sqliteTable(
  'placements',
  {
    fleet: text().notNull(),
    site: text().notNull(),
    plan_hash: text().notNull(),
    epoch: integer().notNull(),
    leader_node_id: text().notNull(),
    takeover: integer().notNull(),
    computed_at: integer().notNull(),
    placed: text({ mode: 'json' }).$type<Record<string, string[]>>().notNull(),
    proxies: text({ mode: 'json' }).$type<Reachable[]>().notNull(),
    successors: text({ mode: 'json' }).$type<Reachable[]>().notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.site] })],
);
