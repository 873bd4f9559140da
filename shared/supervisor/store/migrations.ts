import { type Database, DatabaseError } from '../../ports/database.ts';

/**
 * The migrations that this version works with: the files of `migrations/`, which a Worker does not have with it. A test
 * compares the two.
 */
export const MIGRATIONS: readonly string[] = [
  '0001_registry.sql',
  '0002_documents.sql',
  '0003_lan.sql',
  '0004_outbox.sql',
  '0005_unbroken_lease.sql',
  '0006_uplink.sql',
  '0007_emergency.sql',
  '0008_fleets.sql',
  '0010_ttl.sql',
];

/**
 * Those of `MIGRATIONS` that the database has not got, by wrangler's ledger, which Node keeps too. Rejects with
 * `DatabaseError` when the database does not answer.
 */
export async function missingMigrations(database: Database): Promise<string[]> {
  const applied = new Set(await readLedger(database));
  return MIGRATIONS.filter((name) => !applied.has(name));
}

async function readLedger(database: Database): Promise<string[]> {
  try {
    const [rows = []] = await database.batch([{ sql: 'select name from d1_migrations', params: [] }]);
    return rows.map(({ name }) => String(name));
  } catch (error) {
    // A database that nothing was ever applied to has no ledger.
    if (error instanceof DatabaseError && error.kind === 'failed' && error.message.includes('no such table')) return [];
    throw error;
  }
}
