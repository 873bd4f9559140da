import { serve } from '@hono/node-server';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { createSupervisor } from '../../shared/supervisor/app.ts';
import { keepAges } from '../../shared/supervisor/store/set-back.ts';
import { watchSecrets } from '../support/planted-secrets.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { type Adjust, FLEET_KEY, FOREIGN_KEY, type Harness } from './harness.ts';

export const migrations = readMigrations(new URL('../../migrations', import.meta.url).pathname);

/** A Supervisor on Node and SQLite behind a real HTTP listener on the loopback. */
export async function startOnNode({ wrap, registryOf, ...options }: Adjust = {}): Promise<Harness & { clock: SimulatedClock }> {
  const clock = new SimulatedClock();
  const sqlite = openSqlite({ path: ':memory:', clock, migrations, set_back: keepAges });
  const database = wrap?.(sqlite) ?? sqlite;
  const keys = await deriveFleetKeys('default', FLEET_KEY);
  const emitted: Harness['emitted'] = [];
  const log = recordingLog();
  const random = seededRandom();
  const registry = await registryOf?.({ database, clock, random, log });
  const supervisor = createSupervisor({
    clock,
    random,
    log,
    fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? keys : undefined) },
    version: '0.0.0-test',
    ttl_seconds: 15,
    emit: (topic, body, key) => emitted.push({ topic, body, key }),
    ...(registry === undefined ? {} : { fleets: registry, registry }),
    ...options,
    database,
  });
  const { origin, close } = await listen(supervisor.app.fetch);
  const watched = watchSecrets((path, init) => fetch(new URL(path, origin), init), log, emitted);
  return {
    supervisor,
    database,
    clock,
    keys,
    emitted,
    foreign: await deriveFleetKeys('default', FOREIGN_KEY),
    fetch: watched.fetch,
    close: async () => {
      await close();
      await sqlite.close();
      await watched.check();
    },
  };
}

function listen(handler: Parameters<typeof serve>[0]['fetch']): Promise<{ origin: string; close: () => Promise<void> }> {
  return new Promise((resolve) => {
    const server = serve({ fetch: handler, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
      const close = () =>
        new Promise<void>((closed) => {
          server.close(() => closed());
          if ('closeAllConnections' in server) server.closeAllConnections();
        });
      resolve({ origin: `http://127.0.0.1:${port}`, close });
    });
  });
}
