import { applyD1Migrations, type D1Migration } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { workerClock } from '../../../functions/adapters/clock.ts';
import { d1Database } from '../../../functions/adapters/d1.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { watchSecrets } from '../../support/planted-secrets.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { type Adjust, FLEET_KEY, FOREIGN_KEY, type Harness } from '../harness.ts';

export const bindings = env as {
  readonly DB: D1Database;
  readonly MIGRATIONS: D1Migration[];
  readonly BOOTPLANE_API_KEY: string;
  readonly ARTIFACTS: R2Bucket;
};

/** D1 with all migrations and no rows. */
export async function freshD1(): Promise<D1Database> {
  const { DB, MIGRATIONS } = bindings;
  await applyD1Migrations(DB, MIGRATIONS);
  const ours =
    "type = 'table' and name not like 'd1~_%' escape '~' and name not like '~_cf%' escape '~' and name not like 'sqlite~_%' escape '~'";
  const { results } = await DB.prepare(`select name from sqlite_master where ${ours}`).all<{ name: string }>();
  await DB.batch(results.map(({ name }) => DB.prepare(`delete from ${name}`)));
  return DB;
}

/** A Supervisor inside workerd, on D1. */
export async function startOnWorkerd({ wrap, registryOf, ...options }: Adjust = {}): Promise<Harness> {
  // With `wrap` the caller may bring the database of a Supervisor that is running: it is left as it is.
  const d1 = d1Database(wrap === undefined ? await freshD1() : bindings.DB);
  const database = wrap?.(d1) ?? d1;
  const keys = await deriveFleetKeys('default', FLEET_KEY);
  const emitted: Harness['emitted'] = [];
  const log = recordingLog();
  const random = seededRandom();
  const registry = await registryOf?.({ database, clock: workerClock, random, log });
  const supervisor = createSupervisor({
    clock: workerClock,
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
  const ask = async (path: string, init?: RequestInit) => supervisor.fetch(new Request(new URL(path, 'http://bootplane.test'), init));
  const watched = watchSecrets(ask, log, emitted);
  return {
    supervisor,
    database,
    keys,
    emitted,
    foreign: await deriveFleetKeys('default', FOREIGN_KEY),
    fetch: watched.fetch,
    close: async () => {
      if (wrap === undefined) await freshD1();
      await watched.check();
    },
  };
}
