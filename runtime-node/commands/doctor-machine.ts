import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MIN_FLEET_KEY_LENGTH } from '../../shared/contract/fleet-keys.ts';
import type { Member } from '../../shared/contract/member.ts';
import { ClusterFile } from '../../shared/contract/status.ts';
import { refuseUnusable, type Settings } from '../config.ts';
import { FLEET_KEY_FILE, refuseKeyOfAnother } from '../fleet-key.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { findMember, parseJson, readOptional } from './connect.ts';
import { type Finding, fail, ok, warn } from './doctor-finding.ts';
import { formatAge } from './format.ts';
import type { Io } from './io.ts';

/** `engines` of package.json. */
const OLDEST_NODE = [22, 12] as const;

export function checkNodeVersion(version: string = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [wantMajor, wantMinor] = OLDEST_NODE;
  if (major > wantMajor || (major === wantMajor && minor >= wantMinor)) return ok('Node.js', version);
  return fail('Node.js', `${version} is too old`, `Install Node.js ${wantMajor}.${wantMinor} or newer.`);
}

export function checkSettings(settings: Settings): Finding {
  try {
    refuseUnusable(settings);
    return ok('settings', 'all are known and allowed');
  } catch (error) {
    return fail('settings', messageOf(error).split('\n')[0] ?? '', 'Unset it: `bootplane up` refuses to start with it.');
  }
}

/** Writing is tried, since a mode says little about a read-only mount or a full disk. */
export async function checkDataDir(settings: Settings): Promise<Finding> {
  const dir = settings.data_dir;
  try {
    const found = await stat(dir);
    if (!found.isDirectory()) return fail('data directory', `${dir} is a file`, 'Name a folder with BOOTPLANE_DATA_DIR or --data-dir.');
    await tryWriting(join(dir, `doctor-${randomUUID()}.tmp`));
    return ok('data directory', `${dir} is there and writable`);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return checkParent(dir);
    return fail('data directory', `${dir} is not writable: ${messageOf(error)}`, adviceFor(error));
  }
}

/** A full disk takes the name of a file and none of its bytes: the name must not stay. */
async function tryWriting(probe: string): Promise<void> {
  try {
    await writeFile(probe, 'x', { mode: 0o600, flag: 'wx' });
  } finally {
    await rm(probe, { force: true });
  }
}

function adviceFor(error: unknown): string {
  const code = codeOf(error);
  if (code === 'ENOSPC') return 'The disk is full: free some space on it. A node that runs there goes on, and writes what it could not.';
  if (code === 'EDQUOT') return 'The disk quota is used up: free some space, or raise the quota.';
  if (code === 'EROFS') return 'The file system is read-only: remount it writable, or name another with --data-dir.';
  return 'Run as the user that owns it, or name another with --data-dir.';
}

async function checkParent(dir: string): Promise<Finding> {
  let parent = dirname(dir);
  while (parent !== dirname(parent) && !(await exists(parent))) parent = dirname(parent);
  try {
    await access(parent, constants.W_OK | constants.X_OK);
    return warn('data directory', `${dir} is not there yet`, 'The first `bootplane up` makes it.');
  } catch {
    return fail(
      'data directory',
      `${dir} is not there, and ${parent} is not writable`,
      'Name another with BOOTPLANE_DATA_DIR or --data-dir.',
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Less than this is a warning, bytes. */
const LITTLE_SPACE = 200 * 1024 * 1024;

export async function checkDisk(settings: Settings): Promise<Finding> {
  let dir = settings.data_dir;
  while (dir !== dirname(dir) && !(await exists(dir))) dir = dirname(dir);
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  const detail = `${Math.floor(free / 1024 / 1024)} MiB free`;
  return free >= LITTLE_SPACE ? ok('disk', detail) : warn('disk', detail, `Make space where ${dir} is.`);
}

/** What was found damaged is kept until somebody has looked at it. */
export async function checkSetAside({ data_dir }: Settings): Promise<Finding> {
  const names = await readdir(data_dir).catch(() => []);
  const kept = names.filter((name) => /\.corrupt-\d/.test(name) && !/-(wal|shm|journal)$/.test(name));
  if (kept.length === 0) return ok('damage', 'no file was found damaged');
  const advice = `Made anew already. Look at them in ${data_dir}, and at the disk (dmesg, smartctl); then remove them.`;
  return warn('damage', `kept for a look: ${kept.join(', ')}`, advice);
}

/** What was given is asked for again each day: after two, something keeps it from that. */
const RENEWED_WITHIN_MS = 2 * 86_400_000;

function tellMember({ node_id, fleet, joined_at, asked_at }: Member, now: number): Finding {
  const detail = `none, as it should be: this is node ${node_id} of fleet ${fleet}, which leads only with a cloud URL; ${joined_at} renewed what it has instead at ${asked_at}`;
  if (now - Date.parse(asked_at) <= RENEWED_WITHIN_MS) return ok('fleet key', detail);
  return warn(
    'fleet key',
    detail,
    'The node asks at each start and once a day; its log says why that fails. What it has holds until the fleet key is replaced.',
  );
}

/** No other user of the machine may read it: who has it owns the fleet. */
export async function checkFleetKey(io: Io, settings: Settings): Promise<Finding> {
  if (settings.api_key !== undefined)
    return whyUnfit(settings, settings.api_key, 'BOOTPLANE_API_KEY') ?? ok('fleet key', 'from BOOTPLANE_API_KEY');
  const path = join(settings.data_dir, FLEET_KEY_FILE);
  try {
    const key = (await readOptional(path))?.trim();
    const member = key === undefined ? await findMember(settings.data_dir) : undefined;
    if (member !== undefined) return tellMember(member, io.now());
    if (key === undefined)
      return warn(
        'fleet key',
        `there is no ${path} yet`,
        'The first `bootplane up` makes one; to join a fleet, set BOOTPLANE_API_KEY to its key.',
      );
    if (key.length < MIN_FLEET_KEY_LENGTH) return fail('fleet key', `${path} is too short to be one`, "Put the fleet's key back.");
    const unfit = whyUnfit(settings, key, path);
    if (unfit !== undefined) return unfit;
    const mode = (await stat(path)).mode & 0o777;
    if ((mode & 0o077) === 0) return ok('fleet key', `${path}, mode 0${mode.toString(8)}`);
    return fail('fleet key', `${path} can be read by other users (mode 0${mode.toString(8)})`, `chmod 600 ${path}`);
  } catch (error) {
    return fail('fleet key', messageOf(error), 'Run as the user that runs the node.');
  }
}

/** As `bootplane up` refuses it: an issued key or a JWT opens calls, and nothing follows from it that a node needs. */
function whyUnfit({ fleet }: Settings, key: string, source: string): Finding | undefined {
  try {
    refuseKeyOfAnother(fleet, key, source);
    return undefined;
  } catch (error) {
    return fail('fleet key', messageOf(error), 'Commands may take it; `bootplane up` refuses to start with it.');
  }
}

export function checkClock(io: Io): Finding {
  const shown = new Date(io.now()).toISOString();
  if (io.now() >= io.builtAfter) return ok('clock', shown);
  return fail(
    'clock',
    `${shown} is in the past of this program`,
    'Set the clock (NTP). What runs goes on, but nothing expires and TLS may fail until then.',
  );
}

export async function checkClusterFile(io: Io, settings: Settings): Promise<Finding> {
  const path = join(settings.data_dir, 'cluster.json');
  try {
    const text = await readOptional(path);
    if (text === undefined)
      return warn('cluster.json', 'not written yet', 'A node writes it when it has a plan; `bootplane why` shows what it waits for.');
    const { success, data } = ClusterFile.safeParse(parseJson(text));
    if (!success) return fail('cluster.json', `${path} does not have the right fields`, 'Restart the node: it writes the file again.');
    return ok('cluster.json', `${data.role} of site ${data.site}, epoch ${data.epoch}, written ${formatAge(io, data.updated_at)}`);
  } catch (error) {
    return fail('cluster.json', messageOf(error), 'Run as the user that runs the node.');
  }
}
