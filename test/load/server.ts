/** A Supervisor on Node and SQLite for the load driver, which counts what its database does. First line: its port. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { listen } from '../../runtime-node/http-server.ts';
import { packageVersion } from '../../runtime-node/package-root.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Database } from '../../shared/ports/database.ts';
import { createSupervisor } from '../../shared/supervisor/app.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'bootplane-load-'));
const keys = await deriveFleetKeys('default', process.env.FLEET_KEY ?? '');
const sqlite = openSqlite({ path: join(folder, 'supervisor.sqlite'), clock: systemClock, migrations: readMigrations('migrations') });
let statements = 0;
let written = 0;
const database: Database = {
  now: sqlite.now,
  batch: (given) => {
    statements += given.length;
    return sqlite.batch(given);
  },
  close: () => sqlite.close(),
};
const supervisor = createSupervisor({
  database,
  clock: systemClock,
  random: seededRandom(),
  log: recordingLog(),
  fleets: { default_fleet: 'default', keysOf: async () => keys },
  version: packageVersion(),
  ttl_seconds: Number(process.env.TTL_SECONDS),
});

/** Since the last time. Rows of tables; an index row more for each that is new or moves. */
async function counts(): Promise<Response> {
  const [rows] = await sqlite.batch([{ sql: 'select total_changes() as changes', params: [] }]);
  const changes = Number(rows?.[0]?.changes);
  const text = `${statements} statements, ${changes - written} rows written, ${Math.round(process.memoryUsage.rss() / 1048576)} MB resident`;
  statements = 0;
  written = changes;
  return new Response(text);
}

const { port } = await listen(
  (request) => (new URL(request.url).pathname === '/load-counts' ? counts() : supervisor.fetch(request)),
  '127.0.0.1',
  0,
);
process.on('SIGTERM', () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
process.stdout.write(`${JSON.stringify({ port })}\n`);
