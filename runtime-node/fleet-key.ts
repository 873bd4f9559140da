import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toBase64Url } from '../shared/contract/base64url.ts';
import { whyNotOfFleet } from '../shared/contract/fleet.ts';
import { fleetOfKey, MIN_FLEET_KEY_LENGTH } from '../shared/contract/fleet-keys.ts';
import { isJwt } from '../shared/contract/jwt.ts';
import type { Log } from '../shared/ports/log.ts';
import type { Random } from '../shared/ports/random.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';

/** Name of the file in the data directory. */
export const FLEET_KEY_FILE = 'fleet.key';

/** The fleet key can't be read or used; `message` says what to do. */
export class FleetKeyError extends Error {
  override readonly name = 'FleetKeyError';
}

export interface FleetKeyParts {
  /** Of the data directory. */
  readonly files: StateFiles;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The key of this node's fleet: the one that is set, else the one in the data directory, which the
 * first start makes (256 random bits, mode 0600, all of it or nothing on the disk). Rejects with
 * `FleetKeyError`, or with `StateFilesError` when it can't be written.
 */
export async function fleetKey(dataDir: string, configured: string | undefined, { files, random, log }: FleetKeyParts): Promise<string> {
  const path = join(dataDir, FLEET_KEY_FILE);
  if (configured !== undefined) {
    await warnOfAnother(path, configured, log);
    return configured;
  }
  const found = await readFleetKey(path);
  if (found === undefined) return make(files, random);
  await tighten(path, log);
  if (found.length >= MIN_FLEET_KEY_LENGTH) return found;
  throw new FleetKeyError(
    `${path} holds ${found.length} characters, a fleet key has at least ${MIN_FLEET_KEY_LENGTH}: put the fleet's key back, or remove the file to begin a new fleet`,
  );
}

/** What the directory's own key signed is refused under another one: told here, since it looks like damage later. */
async function warnOfAnother(path: string, configured: string, log: Log): Promise<void> {
  const own = await readFleetKey(path).catch(() => undefined);
  if (own === undefined || own === '' || own === configured) return;
  log.warn(
    `BOOTPLANE_API_KEY is not the key in ${path}: the plan and the profile that are kept here were signed with that one and are not used; for a node of another fleet give a directory of its own with --data-dir`,
  );
}

/** Undefined when there is no such file. Rejects with `FleetKeyError`. */
export async function readFleetKey(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new FleetKeyError(`${path} can't be read (${(error as Error).message}): run as the user that owns it`, { cause: error });
  }
}

/** Keys that bootplane makes: one that was cut off on its way would begin a fleet of its own. */
const MADE = /^bpk_[A-Za-z0-9_-]{43}$/;
/** The same, of a cloud of many fleets. */
const MADE_BY_CLOUD = /^bpk~[^~]+~[A-Za-z0-9_-]{43}$/;

/** Credentials that are no fleet key, each with what it is good for. One of them would begin a fleet of its own. */
const OTHER_CREDENTIALS: readonly (readonly [RegExp, string])[] = [
  [
    /^bpi~/,
    'is an issued key (bpi~…, as `bootplane keys create` prints it): commands and programs take it; a node joins by it without the fleet key, with `bootplane join`',
  ],
  [/^bpn~/, 'is the credential of one node (bpn~…)'],
  [/^bps~/, 'is the token of a service (bps~…)'],
];

/** What a credential is that is no fleet key, in words that go on from "it"; undefined for one that may be. Never holds the text. */
function whyNotFleetKey(key: string): string | undefined {
  const other = OTHER_CREDENTIALS.find(([form]) => form.test(key))?.[1];
  if (other !== undefined) return other;
  if (isJwt(key)) return 'is a JWT, as a login service makes them';
  return whyNotOfFleet(fleetOfKey(key) ?? 'FLEET', key);
}

/** Throws `FleetKeyError` for a text that can't be a fleet key. The message never holds it. */
export function checkFleetKey(key: string): void {
  const refuse = (why: string) => {
    throw new FleetKeyError(`that is no fleet key: it ${why}; \`bootplane key show\` prints it on a machine of the fleet`);
  };
  if (key.length < MIN_FLEET_KEY_LENGTH) refuse(`has ${key.length} characters, and at least ${MIN_FLEET_KEY_LENGTH} are needed`);
  if (key.length > 4096 || !/^[\x21-\x7e]+$/.test(key)) refuse('holds blanks or characters that no key has');
  if (key.startsWith('bpk_') && !MADE.test(key))
    refuse(`has ${key.length} characters instead of 47, so a part of it is missing or doubled`);
  if (key.startsWith('bpk~') && !MADE_BY_CLOUD.test(key))
    refuse('is no bpk~FLEET~ with 43 characters behind it, so a part of it is missing or doubled');
  const why = whyNotFleetKey(key);
  if (why !== undefined) refuse(why);
}

/**
 * Throws `FleetKeyError` for a credential that is no fleet key, and for a key that names another fleet than this node is
 * set to: all that is derived from it would be wrong. `source`: the variable or file that it came from.
 */
export function refuseKeyOfAnother(fleet: string, key: string, source = 'the fleet key'): void {
  const why = whyNotFleetKey(key);
  if (why !== undefined) {
    throw new FleetKeyError(
      `${source} holds no fleet key: it ${why}; put the key of the fleet there (\`bootplane key show\` prints it on a machine of the fleet), or remove it to begin a new fleet`,
    );
  }
  const named = fleetOfKey(key);
  if (named === undefined || named === fleet) return;
  throw new FleetKeyError(`the fleet key is of the fleet ${named}, and this node is set to ${fleet}: start it with --fleet ${named}`);
}

/** The data directory's lock keeps a second process from making another one meanwhile. */
async function make(files: StateFiles, random: Random): Promise<string> {
  const key = `bpk_${toBase64Url(random.bytes(32))}`;
  await files.write(FLEET_KEY_FILE, `${key}\n`);
  return key;
}

async function tighten(path: string, log: Log): Promise<void> {
  if (((await stat(path)).mode & 0o077) === 0) return;
  await chmod(path, 0o600);
  log.warn('fleet.key could be read by other users of this machine; its mode is 0600 now', { path });
}
