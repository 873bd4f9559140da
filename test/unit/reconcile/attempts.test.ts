import { describe, expect, test } from 'vitest';
import { StateFilesError } from '../../../shared/ports/state-files.ts';
import { ATTEMPTS_FILE, createAttempts } from '../../../shared/reconcile/attempts.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const key = (digit: number) => digit.toString(16).padStart(64, '0');

function start(files = memoryStateFiles(), max_keys = 256) {
  const [clock, log] = [new SimulatedClock(), recordingLog()];
  return { files, clock, log, attempts: createAttempts({ files, clock, log, max_keys }) };
}

describe('attempts', () => {
  test('count each key from 1, over a restart too', async () => {
    const { attempts, files } = start();
    expect(await attempts.next('storage', key(1))).toBe(1);
    expect(await attempts.next('storage', key(1))).toBe(2);
    expect(await attempts.next('broker', key(2))).toBe(1);
    expect(await start(files).attempts.next('storage', key(1))).toBe(3);
    expect(JSON.parse(files.texts.get(ATTEMPTS_FILE) ?? '')).toMatchObject({ keys: [{ component: 'broker', attempt: 1 }, { attempt: 3 }] });
  });

  test('calls at once get different numbers', async () => {
    const { attempts } = start();
    const numbers = await Promise.all(Array.from({ length: 20 }, () => attempts.next('vector', key(1))));
    expect(new Set(numbers).size).toBe(20);
  });

  test('a key that was forgotten goes on above its last number', async () => {
    const { attempts, files } = start(undefined, 2);
    for (let time = 0; time < 5; time += 1) await attempts.next('storage', key(1));
    await attempts.next('storage', key(2));
    await attempts.next('storage', key(3));
    expect(JSON.parse(files.texts.get(ATTEMPTS_FILE) ?? '').keys).toHaveLength(2);
    expect(await start(files, 2).attempts.next('storage', key(1))).toBe(6);
  });

  test('a key that was forgotten long ago does too', async () => {
    const { attempts } = start(undefined, 1);
    for (let time = 0; time < 5; time += 1) await attempts.next('storage', key(1));
    await attempts.next('storage', key(2));
    await attempts.next('storage', key(3));
    expect(await attempts.next('storage', key(1))).toBeGreaterThan(5);
  });

  test('the keys that are in use are not the ones forgotten', async () => {
    const { attempts } = start(undefined, 2);
    await attempts.next('storage', key(1));
    await attempts.next('storage', key(2));
    await attempts.next('storage', key(1));
    await attempts.next('storage', key(3));
    expect(await attempts.next('storage', key(1))).toBe(3);
  });

  test.each(['', '{', 'null', '{"floor":-1,"keys":[]}', '{"floor":0,"keys":[{"attempt":"1"}]}'])(
    'a file that holds %j is put aside',
    async (text) => {
      const files = memoryStateFiles(new Map([[ATTEMPTS_FILE, text]]));
      const { attempts, clock, log } = start(files);
      expect(await attempts.next('storage', key(1))).toBe(clock.now() + 1);
      expect(await attempts.next('storage', key(1))).toBe(clock.now() + 2);
      expect([...files.texts.values()]).toContain(text);
      expect(log.lines[0]).toMatchObject({ level: 'warn', fields: { error: 'it is not valid' } });
    },
  );

  test('with a clock at 1970 a damaged file does not make the numbers begin again', async () => {
    const { attempts, files } = start();
    for (let time = 0; time < 3; time += 1) await attempts.next('storage', key(1));
    files.texts.set(ATTEMPTS_FILE, '{"floor":');
    const cold = start(files);
    cold.clock.jump(0);
    expect(await cold.attempts.next('storage', key(1))).toBeGreaterThan(Date.UTC(2099, 0, 1));
  });

  test('a file that can not be read at all is put aside, too', async () => {
    const files = memoryStateFiles();
    const read = () => Promise.reject(new StateFilesError('failed', 'it is a folder'));
    const { attempts, log } = start({ ...files, read });
    expect(await attempts.next('storage', key(1))).toBeGreaterThan(0);
    expect(log.lines[0]).toMatchObject({ level: 'warn' });
  });

  test('a number that could not be kept is not given again by this process', async () => {
    const files = memoryStateFiles();
    let full = true;
    const { attempts } = start({
      ...files,
      write: async (name, text) => {
        if (full) throw new StateFilesError('full', 'the disk is full');
        await files.write(name, text);
      },
    });
    await expect(attempts.next('storage', key(1))).rejects.toThrow('the disk is full');
    full = false;
    expect(await attempts.next('storage', key(1))).toBe(2);
  });
});
