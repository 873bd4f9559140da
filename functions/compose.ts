import { whyNotOfFleet } from '../shared/contract/fleet.ts';
import { deriveFleetKeys, MIN_FLEET_KEY_LENGTH } from '../shared/contract/fleet-keys.ts';
import { Id } from '../shared/contract/ids.ts';
import { RETENTION_DEFAULTS, RETENTION_LIMITS, type Retention, toRetention } from '../shared/decide/retention.ts';
import { UNWRITTEN_SHARE, WRITE_BUDGET_LIMITS, WRITE_BUDGETS } from '../shared/decide/stretch.ts';
import { createSupervisor, type Supervisor, type SupervisorOptions } from '../shared/supervisor/app.ts';
import { createFleetRegistry } from '../shared/supervisor/identity/fleets.ts';
import { workerClock } from './adapters/clock.ts';
import { d1Database } from './adapters/d1.ts';
import { withRetries } from './adapters/d1-retry.ts';
import { workerLog } from './adapters/log.ts';
import { createR2Artifacts } from './adapters/r2-artifacts.ts';
import { workerRandom } from './adapters/random.ts';
import { type RateLimitBindings, workerLimits } from './adapters/rate-limits.ts';
import { SetupError } from './setup-error.ts';
import { TOKEN_SETTINGS, type TokenBindings, tokensOf } from './tokens.ts';

export { SetupError } from './setup-error.ts';

/** What `wrangler.toml` and `wrangler secret put` give the Worker. */
export interface Bindings extends TokenBindings, RateLimitBindings {
  readonly DB?: D1Database;
  /** Absent: this Worker keeps no artifacts. */
  readonly ARTIFACTS?: R2Bucket;
  /** The fleet key of the fleet that is set here: a secret. May be absent where `BOOTPLANE_ADMIN_KEY` makes fleets. */
  readonly BOOTPLANE_API_KEY?: string;
  /** Who has it makes and closes fleets: a secret. Absent: nobody does. */
  readonly BOOTPLANE_ADMIN_KEY?: string;
  /** What the keys of made fleets are sealed under: a secret. Needed with an admin key. */
  readonly BOOTPLANE_SECRET?: string;
  /** The secret that `BOOTPLANE_SECRET` replaces, until every fleet was used once. */
  readonly BOOTPLANE_SECRET_PREVIOUS?: string;
  /** Default `default`. */
  readonly BOOTPLANE_FLEET?: string;
  /** Default 15. */
  readonly BOOTPLANE_TTL_SECONDS?: string | number;
  /** Rows a day that heartbeats and renewals of all fleets may write. Default: `WRITE_BUDGETS`. */
  readonly BOOTPLANE_WRITE_BUDGET?: string | number;
  /** The newest events of a fleet that are kept. The defaults of these four: `RETENTION_DEFAULTS`. */
  readonly BOOTPLANE_KEEP_EVENTS?: string | number;
  /** Events older than this go even if there are few. */
  readonly BOOTPLANE_KEEP_EVENT_DAYS?: string | number;
  /** A node that was not heard for so long is dropped from the registry. */
  readonly BOOTPLANE_KEEP_LOST_DAYS?: string | number;
  /** One that left in order, after so long. */
  readonly BOOTPLANE_KEEP_LEFT_DAYS?: string | number;
}

const KNOWN: readonly string[] = [
  'BOOTPLANE_API_KEY',
  'BOOTPLANE_ADMIN_KEY',
  'BOOTPLANE_SECRET',
  'BOOTPLANE_SECRET_PREVIOUS',
  'BOOTPLANE_FLEET',
  'BOOTPLANE_TTL_SECONDS',
  'BOOTPLANE_WRITE_BUDGET',
  'BOOTPLANE_KEEP_EVENTS',
  'BOOTPLANE_KEEP_EVENT_DAYS',
  'BOOTPLANE_KEEP_LOST_DAYS',
  'BOOTPLANE_KEEP_LEFT_DAYS',
  ...TOKEN_SETTINGS,
];

/** The Supervisor over the Worker's bindings. Throws `SetupError`. */
export async function compose(bindings: Bindings, version: string): Promise<Supervisor> {
  const unknown = Object.keys(bindings).filter((name) => name.startsWith('BOOTPLANE_') && !KNOWN.includes(name));
  if (unknown.length > 0) throw new SetupError(`unknown setting ${unknown.join(', ')}; this Worker knows ${KNOWN.join(', ')}`);
  const database = bindings.DB;
  if (database === undefined)
    throw new SetupError('the D1 binding DB is missing: run "wrangler d1 create bootplane" and name it in wrangler.toml');
  const { ARTIFACTS: bucket } = bindings;
  const machine = { clock: workerClock, random: workerRandom(), log: workerLog() };
  const ports = { ...machine, database: withRetries(d1Database(database), machine) };
  const fleets = await fleetsOf(bindings, ports);
  const tokens = await tokensOf(bindings, { ...machine, ...fleets });
  return createSupervisor({
    ...ports,
    ...fleets,
    ...(tokens === undefined ? {} : { tokens }),
    ...(bucket === undefined ? {} : { artifacts: (name: string) => createR2Artifacts({ bucket, fleet: name }) }),
    version,
    ttl_seconds: ttlOf(bindings),
    write_budget: wholeOf(bindings, 'BOOTPLANE_WRITE_BUDGET', WRITE_BUDGETS.worker, WRITE_BUDGET_LIMITS),
    unwritten_share: UNWRITTEN_SHARE,
    retention: retentionOf(bindings),
    stream_seconds: 55,
    limits: workerLimits(bindings, workerClock),
  });
}

/** The fleet of the settings, and with a secret those of the database beside it. */
async function fleetsOf(
  bindings: Bindings,
  ports: Pick<SupervisorOptions, 'database' | 'clock' | 'random' | 'log'>,
): Promise<Pick<SupervisorOptions, 'fleets' | 'registry'>> {
  const default_fleet = fleetOf(bindings);
  const admin_key = secretOf(bindings, 'BOOTPLANE_ADMIN_KEY');
  const secret = secretOf(bindings, 'BOOTPLANE_SECRET');
  const previous_secret = secretOf(bindings, 'BOOTPLANE_SECRET_PREVIOUS');
  if (admin_key !== undefined && secret === undefined) {
    throw new SetupError('BOOTPLANE_ADMIN_KEY is set and BOOTPLANE_SECRET is not: the keys of fleets that are made are sealed under it');
  }
  const key = admin_key !== undefined && !isSet(bindings.BOOTPLANE_API_KEY) ? undefined : fleetKeyOf(bindings, default_fleet);
  const own = key === undefined ? undefined : await deriveFleetKeys(default_fleet, key);
  if (secret === undefined) return { fleets: { default_fleet, keysOf: async (name) => (name === default_fleet ? own : undefined) } };
  const registry = await createFleetRegistry({ ...ports, default_fleet, own, secret, previous_secret, admin_key });
  return { fleets: registry, registry };
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

/** Long enough that nobody finds it by trying. */
const SECRET_LENGTH = 32;

function secretOf(bindings: Bindings, name: 'BOOTPLANE_ADMIN_KEY' | 'BOOTPLANE_SECRET' | 'BOOTPLANE_SECRET_PREVIOUS'): string | undefined {
  const value = bindings[name];
  if (!isSet(value)) return undefined;
  if (value.length >= SECRET_LENGTH) return value;
  throw new SetupError(`${name} is too short: use at least ${SECRET_LENGTH} characters, as "openssl rand -base64 32" makes them`);
}

function fleetOf({ BOOTPLANE_FLEET = 'default' }: Bindings): string {
  if (!Id.safeParse(BOOTPLANE_FLEET).success)
    throw new SetupError(`BOOTPLANE_FLEET is "${BOOTPLANE_FLEET}", which is not a name: use letters, digits, . _ -`);
  return BOOTPLANE_FLEET;
}

function fleetKeyOf({ BOOTPLANE_API_KEY }: Bindings, fleet: string): string {
  if (!isSet(BOOTPLANE_API_KEY)) {
    throw new SetupError(
      'BOOTPLANE_API_KEY is missing: run "wrangler secret put BOOTPLANE_API_KEY" with the fleet key (locally: a line in .dev.vars)',
    );
  }
  if (BOOTPLANE_API_KEY.length < MIN_FLEET_KEY_LENGTH) {
    throw new SetupError(`BOOTPLANE_API_KEY is too short: a fleet key has at least ${MIN_FLEET_KEY_LENGTH} characters`);
  }
  const wrong = whyNotOfFleet(fleet, BOOTPLANE_API_KEY);
  if (wrong !== undefined) throw new SetupError(`BOOTPLANE_API_KEY ${wrong}; BOOTPLANE_FLEET names the fleet`);
  return BOOTPLANE_API_KEY;
}

function ttlOf(bindings: Bindings): number {
  return wholeOf(bindings, 'BOOTPLANE_TTL_SECONDS', 15, [1, 86_400]);
}

function retentionOf(bindings: Bindings): Retention {
  const { keep_events, keep_event_days, keep_lost_days, keep_left_days } = RETENTION_DEFAULTS;
  return toRetention({
    keep_events: wholeOf(bindings, 'BOOTPLANE_KEEP_EVENTS', keep_events, RETENTION_LIMITS.keep_events),
    keep_event_days: wholeOf(bindings, 'BOOTPLANE_KEEP_EVENT_DAYS', keep_event_days, RETENTION_LIMITS.keep_event_days),
    keep_lost_days: wholeOf(bindings, 'BOOTPLANE_KEEP_LOST_DAYS', keep_lost_days, RETENTION_LIMITS.keep_lost_days),
    keep_left_days: wholeOf(bindings, 'BOOTPLANE_KEEP_LEFT_DAYS', keep_left_days, RETENTION_LIMITS.keep_left_days),
  });
}

type NumberSetting = Extract<keyof Bindings, `BOOTPLANE_${'TTL' | 'WRITE' | 'KEEP'}_${string}`>;

function wholeOf(bindings: Bindings, name: NumberSetting, fallback: number, [min, max]: readonly [number, number]): number {
  const given = bindings[name] ?? fallback;
  const value = Number(given);
  if (given === '' || !Number.isInteger(value) || value < min || value > max) {
    throw new SetupError(`${name} is "${given}": use a whole number from ${min} to ${max}`);
  }
  return value;
}
