import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetKeyError, fleetKey } from '../../runtime-node/fleet-key.ts';
import { MIN_FLEET_KEY_LENGTH } from '../../shared/contract/fleet-keys.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';

let folder: string;
let log: ReturnType<typeof recordingLog>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-key-'));
  log = recordingLog();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const keyFile = () => join(folder, 'fleet.key');

describe('fleetKey', () => {
  it('makes a key at the first start that only its owner can read, and finds it again', async () => {
    const made = await fleetKey(folder, undefined, seededRandom(1), log);
    expect(made).toMatch(/^bpk_[A-Za-z0-9_-]{43}$/);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await fleetKey(folder, undefined, seededRandom(2), log)).toBe(made);
  });

  it('prefers the key that is set, and writes nothing then', async () => {
    expect(await fleetKey(folder, 'x'.repeat(MIN_FLEET_KEY_LENGTH), seededRandom(), log)).toBe('x'.repeat(MIN_FLEET_KEY_LENGTH));
    await expect(readFile(keyFile())).rejects.toThrow('ENOENT');
  });

  it('closes a file that others could read, and says so without the key', async () => {
    const made = await fleetKey(folder, undefined, seededRandom(), log);
    await chmod(keyFile(), 0o644);
    await fleetKey(folder, undefined, seededRandom(), log);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(log.lines).toHaveLength(1);
    expect(JSON.stringify(log.lines)).not.toContain(made);
  });

  it('refuses a file that holds no key, and leaves it as it is', async () => {
    await writeFile(keyFile(), 'short\n');
    await expect(fleetKey(folder, undefined, seededRandom(), log)).rejects.toThrow(FleetKeyError);
    expect(await readFile(keyFile(), 'utf8')).toBe('short\n');
  });
});
