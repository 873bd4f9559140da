import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { KeyScope } from '../../contract/key.ts';

/** The tables of `migrations/0008_fleets.sql`, which is the source: a test compares the two. */
export const fleets = sqliteTable(
  'fleets',
  {
    fleet: text().notNull(),
    sealed_key: text().notNull(),
    key_id: text().notNull(),
    previous_sealed_key: text(),
    previous_until: integer(),
    retired_document_keys: text({ mode: 'json' }).$type<string[]>().notNull(),
    created_at: integer().notNull(),
    rotated_at: integer(),
    closed_at: integer(),
  },
  (table) => [primaryKey({ columns: [table.fleet] })],
);

export const issued_keys = sqliteTable(
  'issued_keys',
  {
    fleet: text().notNull(),
    key_id: text().notNull(),
    hash: text().notNull(),
    scope: text().$type<KeyScope>().notNull(),
    label: text(),
    node_id: text(),
    site: text(),
    max_uses: integer(),
    created_at: integer().notNull(),
    created_by: text().notNull(),
    expires_at: integer(),
    last_used_at: integer(),
    revoked_at: integer(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.key_id] })],
);

export const join_uses = sqliteTable(
  'join_uses',
  {
    fleet: text().notNull(),
    key_id: text().notNull(),
    node_id: text().notNull(),
    at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.fleet, table.key_id, table.node_id] })],
);
