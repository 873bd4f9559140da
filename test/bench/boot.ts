import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median, type Row } from './report.ts';

const ROUNDS = 5;
const IDLE_MS = 5_000;

/** From exec to "all components applied" with the examples, and what an idle node keeps resident. */
export async function benchBoot(): Promise<Row[]> {
  const rows: Row[] = [{ what: 'Node alone (`node -e 0`): exec to exit', figure: `${Math.round(median(await startsOfNode()))} ms` }];
  if (existsSync('dist/bootplane.js')) rows.push(...(await bootOf('published package', 'dist/bootplane.js', '0.5 s', '100 MB, aim 80')));
  else process.stdout.write('no dist/: run `npm run build` first for the figures of the published package\n');
  rows.push(...(await bootOf('checkout', 'runtime-node/main.js', '1 s', '130 MB')));
  return rows;
}

/** What the machine takes to start Node at all: the rest is ours. */
async function startsOfNode(): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const started = performance.now();
    await new Promise((resolve) => spawn(process.execPath, ['-e', '0']).once('exit', resolve));
    times.push(performance.now() - started);
  }
  return times;
}

async function bootOf(name: string, entry: string, timeGoal: string, memoryGoal: string): Promise<Row[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'bootplane-boot-'));
  try {
    await boot(entry, dataDir, 0);
    const runs = [];
    for (let round = 0; round < ROUNDS; round += 1) runs.push(await boot(entry, dataDir, round === 0 ? IDLE_MS : 0));
    const milliseconds = runs.map(({ ready_ms }) => ready_ms);
    return [
      {
        what: `${name}: exec to all applied, warm`,
        figure: `${Math.round(median(milliseconds))} ms (${Math.round(Math.min(...milliseconds))} to ${Math.round(Math.max(...milliseconds))})`,
        goal: timeGoal,
      },
      { what: `${name}: resident memory, idle`, figure: `${((runs[0]?.resident_bytes ?? 0) / 1e6).toFixed(0)} MB`, goal: memoryGoal },
    ];
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Boots a node, waits for its line "ready", leaves it idle for a while, and stops it in order. */
async function boot(entry: string, dataDir: string, idle_ms: number): Promise<{ ready_ms: number; resident_bytes: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [entry, 'up', '--examples', '--data-dir', dataDir, '--host', '127.0.0.1', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let output = '';
  const ready_ms = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (/^\S+ ready /m.test(output)) resolve(performance.now() - started);
    });
    void exited.then(() => reject(new Error(`the node ended before it was ready:\n${output}`)));
  });
  await sleep(idle_ms);
  const resident_bytes = residentBytes(child.pid);
  child.kill('SIGTERM');
  await exited;
  return { ready_ms, resident_bytes };
}

function residentBytes(pid: number | undefined): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
