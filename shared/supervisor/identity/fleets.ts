import { deriveFleetKeys, type FleetKeys, makeFleetKey } from '../../contract/fleet-keys.ts';
import { overlappingKeys } from '../../contract/fleet-keys-overlap.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Database } from '../../ports/database.ts';
import type { Log } from '../../ports/log.ts';
import type { Random } from '../../ports/random.ts';
import type { Keyring } from '../auth.ts';
import { ProblemError } from '../problem.ts';
import { createFleetStore, type FleetRow, type FleetStore, type FleetView } from '../store/fleets.ts';
import { REMEMBERED_MS } from './caller-memory.ts';
import { secretMatcher } from './secret-matcher.ts';
import { createVault, type Vault, VaultError } from './vault.ts';

/** Fleets whose keys are remembered; also names that are none, so that who guesses them costs one read each. */
const REMEMBERED_FLEETS = 10_000;
/** Keys of documents that were signed before are kept for so many rotations. */
const RETIRED_KEYS = 16;

export interface FleetRegistryParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Of the settings: it needs no row. Absent: only the fleets of the table are there. */
  readonly own?: FleetKeys | undefined;
  readonly default_fleet: string;
  /** What the fleet keys are sealed under. */
  readonly secret: string;
  readonly previous_secret?: string | undefined;
  /** Absent: nobody makes fleets. */
  readonly admin_key?: string | undefined;
}

export interface Rotation {
  /** Absent: one is made. */
  readonly key?: string | undefined;
  readonly overlap_ms: number;
  readonly force: boolean;
}

/** The fleets of one Supervisor: its keyring, and who makes and closes them. */
export interface FleetRegistry extends Keyring {
  /** Who makes fleets holds their keys. */
  keysOf(fleet: string): Promise<FleetKeys | undefined>;
  /** Of the settings; it is neither closed nor rotated here. */
  isOwn(fleet: string): boolean;
  get(fleet: string): Promise<FleetView | undefined>;
  list(after: string, limit: number): Promise<FleetView[]>;
  /** The fleet key: the given one, or one that is made. Undefined when there is a fleet of that name. */
  create(fleet: string, key?: string): Promise<string | undefined>;
  close(fleet: string): Promise<void>;
  /** The new fleet key; undefined when another rotation came first, or its overlap is under way. */
  rotate(fleet: string, rotation: Rotation): Promise<string | undefined>;
}

interface Inside extends FleetRegistryParts {
  readonly store: FleetStore;
  readonly vault: Vault;
  readonly cache: Map<string, Known>;
}

/** What is known of a fleet; `until` is of the monotonic clock. */
interface Known {
  readonly until: number;
  readonly keys: Promise<FleetKeys | undefined>;
}

export async function createFleetRegistry(parts: FleetRegistryParts): Promise<FleetRegistry> {
  const { database, secret, previous_secret: previous, random, own, admin_key, default_fleet } = parts;
  const store = createFleetStore(database);
  const inside: Inside = { ...parts, store, vault: await createVault({ secret, previous, random }), cache: new Map() };
  const isAdmin = admin_key === undefined ? undefined : await secretMatcher(admin_key, random);
  const isOwn = (fleet: string) => fleet === own?.fleet;
  return {
    default_fleet,
    isOwn,
    keysOf: async (fleet) => (isOwn(fleet) ? own : recall(inside, fleet)),
    ...(isAdmin === undefined ? {} : { isAdmin }),
    get: store.get,
    list: store.list,
    async create(fleet, given) {
      if (isOwn(fleet)) return undefined;
      const key = given ?? makeFleetKey(fleet, random.bytes(32));
      const { documents } = await deriveFleetKeys(fleet, key);
      const isNew = await store.insert(fleet, await inside.vault.seal(fleet, key), documents.key_id);
      inside.cache.delete(fleet);
      return isNew ? key : undefined;
    },
    async close(fleet) {
      await store.close(fleet);
      inside.cache.delete(fleet);
    },
    rotate: (fleet, rotation) => rotate(inside, fleet, rotation),
  };
}

async function rotate({ store, vault, random, cache }: Inside, fleet: string, rotation: Rotation): Promise<string | undefined> {
  const row = await store.get(fleet);
  if (row === undefined) return undefined;
  const key = rotation.key ?? makeFleetKey(fleet, random.bytes(32));
  const [before, after] = await Promise.all([open(vault, row, row.sealed_key), deriveFleetKeys(fleet, key)]);
  const { overlap_ms, force } = rotation;
  const isDone = await store.replace({
    fleet,
    replaces: row.sealed_key,
    sealed_key: await vault.seal(fleet, key),
    key_id: after.documents.key_id,
    retired_document_keys: [before.keys.documents.public_key, ...row.retired_document_keys].slice(0, RETIRED_KEYS),
    overlap_ms,
    force,
  });
  cache.delete(fleet);
  return isDone ? key : undefined;
}

/** One read of the database within `REMEMBERED_MS`, also when many ask at once. */
function recall(inside: Inside, fleet: string): Promise<FleetKeys | undefined> {
  const { cache, clock } = inside;
  const now = clock.monotonic();
  const known = cache.get(fleet);
  if (known !== undefined && now < known.until) return known.keys;
  cache.delete(fleet);
  const oldest = cache.size >= REMEMBERED_FLEETS ? cache.keys().next().value : undefined;
  if (oldest !== undefined) cache.delete(oldest);
  const fresh: Known = { until: now + REMEMBERED_MS, keys: load(inside, fleet) };
  cache.set(fleet, fresh);
  // A database that was busy for a moment is asked again.
  fresh.keys.catch(() => cache.get(fleet) === fresh && cache.delete(fleet));
  return fresh.keys;
}

async function load(inside: Inside, fleet: string): Promise<FleetKeys | undefined> {
  const { store, vault, log } = inside;
  const row = await store.get(fleet);
  if (row === undefined || row.closed_at !== null) return undefined;
  try {
    const current = await open(vault, row, row.sealed_key);
    const previous = row.previous_sealed_key === null ? undefined : await open(vault, row, row.previous_sealed_key);
    if (current.stale || previous?.stale) await reseal(inside, row, current.text, previous?.text);
    const retired = row.retired_document_keys.length === 0 ? {} : { retired_document_keys: row.retired_document_keys };
    const keys = { ...current.keys, ...retired };
    if (previous === undefined || row.previous_until === null || row.overlap_ms === null) return keys;
    return overlappingKeys(keys, previous.keys, row.previous_until);
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    log.error('the keys of a fleet cannot be opened', { fleet, error: error.message });
    throw new ProblemError('unavailable', 'the keys of this fleet cannot be opened; the log of the Supervisor says why');
  }
}

async function open(vault: Vault, { fleet }: FleetRow, sealed: string) {
  const { text, stale } = await vault.open(fleet, sealed);
  return { text, stale, keys: await deriveFleetKeys(fleet, text) };
}

/** So that the secret of before can be taken out of the settings when every fleet was asked for once. */
async function reseal({ vault, store }: Inside, row: FleetRow, current: string, previous: string | undefined): Promise<void> {
  const seal = (text: string) => vault.seal(row.fleet, text);
  await store.reseal(row, await seal(current), previous === undefined ? null : await seal(previous));
}
