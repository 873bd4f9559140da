import { existsSync, renameSync } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { fleetOfKey } from '../shared/contract/fleet-keys.ts';
import { Id } from '../shared/contract/ids.ts';
import { MEMBER_COPY, MEMBER_FILE } from '../shared/discovery/member-file.ts';
import { CLUSTER_FILE } from '../shared/discovery/recall.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';
import { createNodeClock } from './adapters/clock.ts';
import { lockDataDir } from './adapters/data-dir-lock.ts';
import { freeName, moveAside } from './adapters/set-aside.ts';
import { openSqlite } from './adapters/sqlite.ts';
import { createStateFiles } from './adapters/state-files.ts';
import { DOCUMENT_KEYS_FILE, noteReplacement } from './document-keys.ts';
import { checkFleetKey, FLEET_KEY_FILE, FleetKeyError, readFleetKey } from './fleet-key.ts';

export interface JoinRequest {
  readonly data_dir: string;
  readonly key: string;
  /** Take the key in place of another one, when nothing that was published is lost by it. */
  readonly replace: boolean;
  /** The key is a new one of the fleet that the directory is of, which a key that names its fleet says itself. Implies `replace`. */
  readonly same_fleet?: boolean;
}

/**
 * `written`: the directory had no key. `same`: it had this one. `replaced`: it had one of another fleet; `kept` names what was
 * moved aside. `rotated`: it had an older one of this fleet; what the node knows of the fleet stays.
 */
export type Joined =
  | { readonly outcome: 'written' | 'same' }
  | { readonly outcome: 'replaced'; readonly kept: readonly string[] }
  | { readonly outcome: 'rotated'; readonly fleet: string; readonly kept: readonly string[] };

/** What a node knows of its fleet. Its identity, and the data of its services, are its own in any fleet. */
const OF_A_FLEET = [
  ...['supervisor.sqlite', 'plan.json', 'profile.json', 'epoch.json', 'peers.json'],
  ...[CLUSTER_FILE, 'discovery-trace.json', DOCUMENT_KEYS_FILE],
];
const REPLACED = 'replaced';

/**
 * Makes a data directory one of the fleet with this key. Rejects with `FleetKeyError` when the key can't be one, or
 * another one would be lost, and with `DataDirLockError` while a node runs on the directory.
 */
export async function joinFleet(request: JoinRequest, clock: Clock = createNodeClock()): Promise<Joined> {
  const { data_dir, key, replace } = request;
  checkFleetKey(key);
  const lock = lockDataDir(data_dir, clock);
  const files = createStateFiles({ folder: data_dir, clock });
  try {
    refuseMember(data_dir);
    const path = join(data_dir, FLEET_KEY_FILE);
    const found = await readFleetKey(path);
    const own = found === '' ? undefined : found;
    const fleet = await sameFleet(request, own);
    if (own === key && fleet === undefined) return { outcome: 'same' };
    if (fleet !== undefined) return await rotate({ ...request, files, clock, path }, fleet, own);
    if (own !== undefined) await refuseLoss(data_dir, path, replace, clock);
    const kept = own === undefined ? [] : await moveFleetAside(data_dir, clock.now());
    await files.write(FLEET_KEY_FILE, `${key}\n`);
    return own === undefined ? { outcome: 'written' } : { outcome: 'replaced', kept };
  } finally {
    await files.idle();
    lock.release();
  }
}

/** A node that was to have no fleet key does not get one by a slip. Of a damaged file, too, nobody knows what it was to be. */
function refuseMember(data_dir: string): void {
  if (![MEMBER_FILE, MEMBER_COPY].some((name) => existsSync(join(data_dir, name)))) return;
  throw new FleetKeyError(
    `${data_dir} is of a node that has joined without the fleet key: nothing was changed; give a node that holds the key a directory of its own with --data-dir`,
  );
}

/** The fleet of the directory, where the key is known to be another one of it. Throws `FleetKeyError` where it can't be. */
async function sameFleet({ data_dir, key, same_fleet }: JoinRequest, found: string | undefined): Promise<string | undefined> {
  const fleet = (found === undefined ? undefined : fleetOfKey(found)) ?? (await fleetOf(data_dir));
  const named = fleetOfKey(key);
  if (same_fleet !== true) return found !== undefined && found !== key && named !== undefined && named === fleet ? named : undefined;
  if (fleet === undefined) throw new FleetKeyError(`${data_dir} is of no fleet yet: join it without --same-fleet`);
  if (named === undefined || named === fleet) return fleet;
  throw new FleetKeyError(`the key is of the fleet ${named}, and ${data_dir} is of the fleet ${fleet}: nothing was changed`);
}

const Place = z.object({ fleet: Id });

async function fleetOf(data_dir: string): Promise<string | undefined> {
  for (const file of [DOCUMENT_KEYS_FILE, CLUSTER_FILE]) {
    const told = Place.safeParse(await readJson(join(data_dir, file)));
    if (told.success) return told.data.fleet;
  }
  return undefined;
}

interface Rotation extends JoinRequest {
  readonly files: StateFiles;
  readonly clock: Clock;
  /** Of the fleet key. */
  readonly path: string;
}

/** The key of before is noted first: a crash in between leaves a directory that starts with either. */
async function rotate(rotation: Rotation, fleet: string, old: string | undefined): Promise<Joined> {
  const { data_dir, key, replace, same_fleet, files, clock, path } = rotation;
  if (!replace && same_fleet !== true) {
    throw new FleetKeyError(
      `${path} holds another key of the fleet ${fleet}: nothing was changed; if the fleet key was replaced, --replace takes the new one, and what runs here stays`,
    );
  }
  const isNoted = await noteReplacement({ files, log: SILENT }, { fleet, old: old === key ? undefined : old, next: key });
  if (!isNoted)
    throw new FleetKeyError(`nothing is known in ${data_dir} of a fleet key before this one, or the disk refuses it: ${ONCE_MORE}`);
  if (old === key) return { outcome: 'rotated', fleet, kept: [] };
  const kept = old === undefined ? [] : [await keepKey(data_dir, clock.now())];
  await files.write(FLEET_KEY_FILE, `${key}\n`);
  return { outcome: 'rotated', fleet, kept };
}

const ONCE_MORE = 'start the node once with the old key, then with the new one, and give --same-fleet again';

/** What could not be written is told by the outcome. */
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => SILENT };

async function refuseLoss(data_dir: string, path: string, replace: boolean, clock: Clock): Promise<void> {
  const published = await publishedIn(data_dir, clock);
  if (published !== undefined) {
    throw new FleetKeyError(
      `${data_dir} belongs to another fleet and holds its ${published}, which nobody could verify under the new key: nothing was changed; ` +
        'give this node a directory of its own with --data-dir, or, if it is a new key of the same fleet, say so with --same-fleet',
    );
  }
  if (replace) return;
  throw new FleetKeyError(
    `${path} holds the key of another fleet: nothing was changed; nothing was published there, so --replace takes the new key ` +
      '(what the node knew of the other fleet is moved aside), or give this node a directory of its own with --data-dir',
  );
}

const Kept = z.object({ document: z.object({ generation: z.number() }) });

/** What was published (not only seeded by a file) and is kept here, in words; undefined when there is nothing. */
async function publishedIn(data_dir: string, clock: Clock): Promise<string | undefined> {
  for (const kind of ['plan', 'profile']) {
    const kept = Kept.safeParse(await readJson(join(data_dir, `${kind}.json`)));
    if (kept.success && kept.data.document.generation > 0) return `${kind} of generation ${kept.data.document.generation}`;
  }
  return publishedInDatabase(join(data_dir, 'supervisor.sqlite'), clock);
}

/** A database that can't be read holds nothing that could be lost. */
async function publishedInDatabase(path: string, clock: Clock): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    const database = openSqlite({ path, clock });
    try {
      const [rows] = await database.batch([{ sql: 'select kind, generation from desired order by generation desc limit 1', params: [] }]);
      const newest = rows?.[0];
      return newest !== undefined && Number(newest.generation) > 0 ? `${newest.kind} of generation ${newest.generation}` : undefined;
    } finally {
      await database.close();
    }
  } catch {
    return undefined;
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Returns the new names. The key is copied first and replaced later, so that the directory is never without one. */
async function moveFleetAside(data_dir: string, nowMs: number): Promise<string[]> {
  const key = await keepKey(data_dir, nowMs);
  const moved = OF_A_FLEET.filter((name) => existsSync(join(data_dir, name))).map((name) =>
    moveAside(join(data_dir, name), nowMs, REPLACED),
  );
  return [key, ...moved];
}

/** Copies the key of before; returns the new name. */
async function keepKey(data_dir: string, nowMs: number): Promise<string> {
  const name = freeName(data_dir, FLEET_KEY_FILE, nowMs, REPLACED);
  await copyFile(join(data_dir, FLEET_KEY_FILE), join(data_dir, `${name}.new`));
  renameSync(join(data_dir, `${name}.new`), join(data_dir, name));
  return name;
}
