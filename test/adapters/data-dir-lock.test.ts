import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DataDirLockError, lockDataDir } from '../../runtime-node/adapters/data-dir-lock.ts';

const STARTED = '2026-01-02T03:04:05.000Z';
const clock = { now: () => Date.parse(STARTED) };
const ADAPTER = new URL('../../runtime-node/adapters/data-dir-lock.ts', import.meta.url).href;

let parent = '';
let children: ChildProcess[] = [];
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'data-dir-lock-'));
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(kill));
  rmSync(parent, { recursive: true });
});
const dir = () => join(parent, 'new', 'data');

/** A real process that holds the directory until it is killed. */
async function holder(): Promise<ChildProcess> {
  const script = `
    import { lockDataDir } from ${JSON.stringify(ADAPTER)};
    const lock = lockDataDir(process.argv[1], { now: () => ${clock.now()} });
    process.stdout.write('held');
    setInterval(() => lock, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir()], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  if (child.stdout !== null) await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function refusal(): DataDirLockError {
  try {
    lockDataDir(dir(), clock).release();
  } catch (error) {
    if (error instanceof DataDirLockError) return error;
    throw error;
  }
  throw new Error('the lock was granted');
}

describe('the lock on the data directory', () => {
  test('makes the directory for its user alone and says who holds it', () => {
    const lock = lockDataDir(dir(), clock);
    expect(statSync(dir()).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(join(dir(), 'holder.json'), 'utf8'))).toEqual({ pid: process.pid, started_at: STARTED });
    expect(statSync(join(dir(), 'holder.json')).mode & 0o777).toBe(0o600);
    lock.release();
  });

  test('a second process is refused with the pid and start of the first', async () => {
    const child = await holder();
    const error = refusal();
    expect(error.kind).toBe('held');
    expect(error.holder).toEqual({ pid: child.pid, started_at: STARTED });
    for (const part of [dir(), `process ${child.pid}`, STARTED, '--data-dir']) expect(error.message).toContain(part);
  });

  test('kill -9 frees it, again and again', async () => {
    for (let round = 0; round < 3; round += 1) {
      const child = await holder();
      expect(refusal().kind).toBe('held');
      await kill(child);
      lockDataDir(dir(), clock).release();
    }
  });

  test('is held within one process too, until it is released', () => {
    const lock = lockDataDir(dir(), clock);
    expect(refusal().holder?.pid).toBe(process.pid);
    lock.release();
    lock.release();
    lockDataDir(dir(), clock).release();
  });

  test('being refused does not free what the first process holds', async () => {
    await holder();
    for (let time = 0; time < 3; time += 1) expect(refusal().kind).toBe('held');
    const script = `
      import { lockDataDir } from ${JSON.stringify(ADAPTER)};
      try { lockDataDir(process.argv[1], { now: () => 0 }); process.stdout.write('granted'); } catch (error) { process.stdout.write(error.kind); }`;
    expect(spawnSync(process.execPath, ['--input-type=module', '-e', script, dir()], { encoding: 'utf8' }).stdout).toBe('held');
  });

  test('names nobody when the name is that of a process that is gone, or can not be read', async () => {
    await holder();
    const gone = spawnSync(process.execPath, ['-e', '']);
    for (const text of [JSON.stringify({ pid: gone.pid, started_at: STARTED }), 'half a {', '{"pid":-1,"started_at":"x"}']) {
      writeFileSync(join(dir(), 'holder.json'), text);
      const error = refusal();
      expect(error.holder).toBeUndefined();
      expect(error.message).toContain('another process');
    }
  });

  test('a folder that can not be used is another error', () => {
    writeFileSync(join(parent, 'new'), 'a file where a folder should be');
    const error = refusal();
    expect(error.kind).toBe('failed');
    expect(error.message).toContain('--data-dir');
  });

  test('a lock file that is no database keeps nobody from starting, and what stood in it is kept', () => {
    lockDataDir(dir(), clock).release();
    writeFileSync(join(dir(), 'lock.sqlite'), 'not a database, but long enough to look at. '.repeat(50));
    const lock = lockDataDir(dir(), clock);
    expect(refusal().kind).toBe('held');
    const [kept = ''] = readdirSync(dir()).filter((name) => name.startsWith('lock.sqlite.corrupt-'));
    expect(readFileSync(join(dir(), kept), 'utf8')).toContain('not a database');
    lock.release();
  });

  test.runIf(process.platform === 'linux')(
    'a directory that can not be made is refused at once, also where the system gives an odd reason',
    () => {
      const script = `import { lockDataDir } from ${JSON.stringify(ADAPTER)}; lockDataDir('/proc/not/there', { now: () => 0 });`;
      const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        timeout: 120_000,
        killSignal: 'SIGKILL',
      });
      expect(status).toBe(1);
      expect(stderr).toContain("the data directory /proc/not/there can't be locked");
    },
  );

  test('an existing directory keeps its mode and what is in it', () => {
    chmodSync(parent, 0o755);
    writeFileSync(join(parent, 'kept'), 'x');
    lockDataDir(parent, clock).release();
    expect(statSync(parent).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(parent, 'kept'), 'utf8')).toBe('x');
  });
});
