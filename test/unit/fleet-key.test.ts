import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStateFiles } from '../../runtime-node/adapters/state-files.ts';
import { checkFleetKey, FleetKeyError, fleetKey, refuseKeyOfAnother } from '../../runtime-node/fleet-key.ts';
import { MIN_FLEET_KEY_LENGTH } from '../../shared/contract/fleet-keys.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';

let folder: string;
let log: ReturnType<typeof recordingLog>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-key-'));
  log = recordingLog();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const keyFile = () => join(folder, 'fleet.key');
const keyOf = (configured?: string, seed?: number) =>
  fleetKey(folder, configured, { files: createStateFiles({ folder, clock: systemClock }), random: seededRandom(seed), log });

/** Makes the key of the folder in a process of its own. Pipes have no limit of bytes. */
const MAKE_KEY = `
  import { fleetKey } from './runtime-node/fleet-key.ts';
  import { createStateFiles } from './runtime-node/adapters/state-files.ts';
  const files = createStateFiles({ folder: process.argv[1], clock: { now: () => 0 } });
  console.log('writes');
  await fleetKey(process.argv[1], undefined, { files, random: { bytes: (length) => new Uint8Array(length) }, log: {} });
  console.log('written');
`;

describe('fleetKey', () => {
  it('makes a key at the first start that only its owner can read, and finds it again', async () => {
    const made = await keyOf(undefined, 1);
    expect(made).toMatch(/^bpk_[A-Za-z0-9_-]{43}$/);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await keyOf(undefined, 2)).toBe(made);
  });

  it('prefers the key that is set, and writes nothing then', async () => {
    expect(await keyOf('x'.repeat(MIN_FLEET_KEY_LENGTH))).toBe('x'.repeat(MIN_FLEET_KEY_LENGTH));
    await expect(readFile(keyFile())).rejects.toThrow('ENOENT');
  });

  it('tells when the key that is set is not the one of the folder, and keeps that one', async () => {
    const made = await keyOf();
    const other = 'x'.repeat(MIN_FLEET_KEY_LENGTH);
    expect(await keyOf(other)).toBe(other);
    expect(log.lines).toMatchObject([{ level: 'warn', message: expect.stringContaining('--data-dir') }]);
    expect(JSON.stringify(log.lines)).not.toMatch(new RegExp(`${made}|${other}`));
    expect(await keyOf(made)).toBe(made);
    expect(await keyOf()).toBe(made);
    expect(log.lines).toHaveLength(1);
  });

  it('closes a file that others could read, and says so without the key', async () => {
    const made = await keyOf();
    await chmod(keyFile(), 0o644);
    await keyOf();
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(log.lines).toHaveLength(1);
    expect(JSON.stringify(log.lines)).not.toContain(made);
  });

  it('leaves no part of a key behind when the disk refuses it', async () => {
    const child = spawnSync('sh', ['-c', 'ulimit -f 0 && exec "$0" --input-type=module -e "$1" "$2"', process.execPath, MAKE_KEY, folder], {
      encoding: 'utf8',
    });
    // No file may grow, as on a full disk.
    expect(child.status).not.toBe(0);
    expect(child.stdout).toBe('writes\n');
    expect(await keyOf()).toMatch(/^bpk_/);
  });

  it('refuses a file that holds no key, and leaves it as it is', async () => {
    await writeFile(keyFile(), 'short\n');
    await expect(keyOf()).rejects.toThrow(FleetKeyError);
    expect(await readFile(keyFile(), 'utf8')).toBe('short\n');
  });
});

describe('the key of a fleet that a cloud has made', () => {
  const key = `bpk~shops~${'x'.repeat(43)}`;

  it('is taken whole, and with the name of its fleet', () => {
    expect(() => checkFleetKey(key)).not.toThrow();
    expect(() => refuseKeyOfAnother('shops', key)).not.toThrow();
    expect(() => refuseKeyOfAnother('labs', 'a key that names no fleet')).not.toThrow();
  });

  it('is refused cut off, and by a node of another fleet, without being told', () => {
    for (const refuse of [() => checkFleetKey(key.slice(0, -1)), () => refuseKeyOfAnother('default', key)]) {
      expect(refuse).toThrow(FleetKeyError);
      expect(refuse).not.toThrow('xxxxx');
    }
    expect(() => refuseKeyOfAnother('default', key)).toThrow('start it with --fleet shops');
  });
});

describe('a credential that is no fleet key', () => {
  const secret = 'x'.repeat(43);
  it.each([
    ['an issued key', `bpi~default~1f0c2d3e4a5b6c7d~${secret}`, 'an issued key'],
    ['the credential of a node', `bpn~default~node-1~${secret}`, 'the credential of one node'],
    ['the token of a service', `bps~default~node-1~web~${secret}`, 'the token of a service'],
    ['a JWT', `eyJhbGciOiJFZERTQSJ9.eyJleHAiOjF9.${secret}`, 'a JWT'],
    ['one of a kind that this version does not know', `bpz~default~${secret}`, 'another kind'],
  ])('is refused with what it is: %s', (_what, key, what) => {
    for (const refuse of [() => checkFleetKey(key), () => refuseKeyOfAnother('default', key)]) {
      expect(refuse).toThrow(FleetKeyError);
      expect(refuse).toThrow(what);
      expect(refuse).toThrow('bootplane key show');
      expect(refuse).not.toThrow('xxxxx');
    }
  });
});
