import { deriveFleetKeys, MIN_FLEET_KEY_LENGTH } from '../shared/contract/fleet-keys.ts';
import { Id } from '../shared/contract/ids.ts';
import { createSupervisor, type Supervisor } from '../shared/supervisor/app.ts';
import { workerClock } from './adapters/clock.ts';
import { d1Database } from './adapters/d1.ts';
import { workerLog } from './adapters/log.ts';
import { workerRandom } from './adapters/random.ts';

/** What `wrangler.toml` and `wrangler secret put` give the Worker. */
export interface Bindings {
  readonly DB?: D1Database;
  /** The fleet key: a secret. */
  readonly BOOTPLANE_API_KEY?: string;
  /** Default `default`. */
  readonly BOOTPLANE_FLEET?: string;
  /** Default 15. */
  readonly BOOTPLANE_TTL_SECONDS?: string | number;
}

const KNOWN = ['BOOTPLANE_API_KEY', 'BOOTPLANE_FLEET', 'BOOTPLANE_TTL_SECONDS'];

/** The Worker can't start as it is set up; `message` says what to do. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** The Supervisor over the Worker's bindings. Throws `SetupError`. */
export async function compose(bindings: Bindings, version: string): Promise<Supervisor> {
  const unknown = Object.keys(bindings).filter((name) => name.startsWith('BOOTPLANE_') && !KNOWN.includes(name));
  if (unknown.length > 0) throw new SetupError(`unknown setting ${unknown.join(', ')}; this Worker knows ${KNOWN.join(', ')}`);
  const database = bindings.DB;
  if (database === undefined)
    throw new SetupError('the D1 binding DB is missing: run "wrangler d1 create bootplane" and name it in wrangler.toml');
  const fleet = fleetOf(bindings);
  const keys = await deriveFleetKeys(fleet, fleetKeyOf(bindings));
  return createSupervisor({
    database: d1Database(database),
    clock: workerClock,
    random: workerRandom(),
    log: workerLog(),
    fleets: { default_fleet: fleet, keysOf: async (name) => (name === fleet ? keys : undefined) },
    version,
    ttl_seconds: ttlOf(bindings),
    stream_seconds: 55,
  });
}

function fleetOf({ BOOTPLANE_FLEET = 'default' }: Bindings): string {
  if (!Id.safeParse(BOOTPLANE_FLEET).success)
    throw new SetupError(`BOOTPLANE_FLEET is "${BOOTPLANE_FLEET}", which is not a name: use letters, digits, . _ -`);
  return BOOTPLANE_FLEET;
}

function fleetKeyOf({ BOOTPLANE_API_KEY }: Bindings): string {
  if (BOOTPLANE_API_KEY === undefined || BOOTPLANE_API_KEY === '') {
    throw new SetupError(
      'BOOTPLANE_API_KEY is missing: run "wrangler secret put BOOTPLANE_API_KEY" with the fleet key (locally: a line in .dev.vars)',
    );
  }
  if (BOOTPLANE_API_KEY.length < MIN_FLEET_KEY_LENGTH) {
    throw new SetupError(`BOOTPLANE_API_KEY is too short: a fleet key has at least ${MIN_FLEET_KEY_LENGTH} characters`);
  }
  return BOOTPLANE_API_KEY;
}

function ttlOf({ BOOTPLANE_TTL_SECONDS = 15 }: Bindings): number {
  const ttl = Number(BOOTPLANE_TTL_SECONDS);
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > 86_400) {
    throw new SetupError(`BOOTPLANE_TTL_SECONDS is "${BOOTPLANE_TTL_SECONDS}": use a whole number of seconds from 1 to 86400`);
  }
  return ttl;
}
