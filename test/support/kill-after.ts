import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';

/** A program that takes a file to write to, a number of its own and a file to tell in, and prints a line for each thing told. */
export interface Writer {
  readonly program: string;
  readonly path: string;
  readonly round: number;
  readonly telling: string;
}

/** Runs the writer until it has told `lines` things, kills it with SIGKILL, and answers with all lines that it told. */
export async function killAfter({ program, path, round, telling }: Writer, lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [program, path, `${round}`, telling], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let told = 0;
  for await (const _line of createInterface({ input: child.stdout })) {
    told += 1;
    if (told === lines) child.kill('SIGKILL');
  }
  expect((await exited)[1]).toBe('SIGKILL');
  return (await readFile(telling, 'utf8')).trimEnd().split('\n');
}
