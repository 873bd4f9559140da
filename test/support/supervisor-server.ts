/** A Supervisor with its SQLite file in a temporary folder, for tests and figures over real HTTP. First line: its port and fleet key. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { listen } from '../../runtime-node/http-server.ts';
import { packageVersion } from '../../runtime-node/package-root.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { createSupervisor } from '../../shared/supervisor/app.ts';
import { memoryArtifactStore } from './memory-artifact-store.ts';
import { recordingLog } from './recording-log.ts';
import { seededRandom } from './seeded-random.ts';
import { systemClock } from './system-clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'bootplane-bench-'));
const fleet_key = process.env.FLEET_KEY ?? 'a fleet key for the bench only';
const keys = await deriveFleetKeys('default', fleet_key);
const supervisor = createSupervisor({
  database: openSqlite({ path: join(folder, 'supervisor.sqlite'), clock: systemClock, migrations: readMigrations('migrations') }),
  clock: systemClock,
  random: seededRandom(),
  log: recordingLog(),
  artifacts: memoryArtifactStore(),
  fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? keys : undefined) },
  version: packageVersion(),
  ttl_seconds: Number(process.env.TTL_SECONDS ?? 3600),
});
const { port } = await listen(supervisor.fetch, '127.0.0.1', 0);
process.on('SIGTERM', () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
process.stdout.write(`${JSON.stringify({ port, fleet_key })}\n`);
