import { existsSync, renameSync } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Clock } from '../shared/ports/clock.ts';
import { createNodeClock } from './adapters/clock.ts';
import { lockDataDir } from './adapters/data-dir-lock.ts';
import { freeName, moveAside } from './adapters/set-aside.ts';
import { openSqlite } from './adapters/sqlite.ts';
import { createStateFiles } from './adapters/state-files.ts';
import { checkFleetKey, FLEET_KEY_FILE, FleetKeyError, readFleetKey } from './fleet-key.ts';

export interface JoinRequest {
  readonly data_dir: string;
  readonly key: string;
  /** Take the key in place of another one, when nothing that was published is lost by it. */
  readonly replace: boolean;
}

/** `written`: the directory had no key. `same`: it had this one. `replaced`: it had another one; `kept` names what was moved aside. */
export type Joined = { readonly outcome: 'written' | 'same' } | { readonly outcome: 'replaced'; readonly kept: readonly string[] };

/** What a node knows of its fleet. Its identity, and the data of its services, are its own in any fleet. */
const OF_A_FLEET = ['supervisor.sqlite', 'plan.json', 'profile.json', 'epoch.json', 'peers.json', 'cluster.json', 'discovery-trace.json'];
const REPLACED = 'replaced';

/**
 * Makes a data directory one of the fleet with this key. Rejects with `FleetKeyError` when the key can't be one, or
 * another one would be lost, and with `DataDirLockError` while a node runs on the directory.
 */
export async function joinFleet({ data_dir, key, replace }: JoinRequest, clock: Clock = createNodeClock()): Promise<Joined> {
  checkFleetKey(key);
  const lock = lockDataDir(data_dir, clock);
  try {
    const path = join(data_dir, FLEET_KEY_FILE);
    const found = await readFleetKey(path);
    if (found === key) return { outcome: 'same' };
    const isOther = found !== undefined && found !== '';
    if (isOther) await refuseLoss(data_dir, path, replace, clock);
    const kept = isOther ? await moveFleetAside(data_dir, clock.now()) : [];
    await createStateFiles({ folder: data_dir, clock }).write(FLEET_KEY_FILE, `${key}\n`);
    return isOther ? { outcome: 'replaced', kept } : { outcome: 'written' };
  } finally {
    lock.release();
  }
}

async function refuseLoss(data_dir: string, path: string, replace: boolean, clock: Clock): Promise<void> {
  const published = await publishedIn(data_dir, clock);
  if (published !== undefined) {
    throw new FleetKeyError(
      `${data_dir} belongs to another fleet and holds its ${published}, which nobody could verify under the new key: nothing was changed; ` +
        'give this node a directory of its own with --data-dir',
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
  const key = freeName(data_dir, FLEET_KEY_FILE, nowMs, REPLACED);
  await copyFile(join(data_dir, FLEET_KEY_FILE), join(data_dir, `${key}.new`));
  renameSync(join(data_dir, `${key}.new`), join(data_dir, key));
  const moved = OF_A_FLEET.filter((name) => existsSync(join(data_dir, name))).map((name) =>
    moveAside(join(data_dir, name), nowMs, REPLACED),
  );
  return [key, ...moved];
}
