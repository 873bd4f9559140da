import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { BUILT_AFTER_MS, createNodeClock } from './adapters/clock.ts';
import type { Io } from './commands/io.ts';
import { runCli } from './commands/program.ts';
import { packageRoot, packageVersion } from './package-root.ts';

/**
 * Runs the command line of this process (`argv` as Node gives it) and sets the exit code. A node goes on
 * when nobody reads its log any more, or the disk that the log goes to is full.
 */
export async function main(argv: readonly string[]): Promise<void> {
  const words = argv.slice(2);
  for (const output of [process.stdout, process.stderr])
    output.on('error', words[0] === 'up' || words[0] === 'join' ? () => undefined : leaveQuietly);
  process.exitCode = await runCli(words, processIo());
  // Nothing waits for a connection that a server far away does not let go.
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

/** How long a process may take to end after its command has. */
const LINGER_MS = 1000;

/** A reader that closes early (`bootplane events | head`) is no failure. */
function leaveQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
}

/** Also used by tests, with parts of it replaced. */
export function processIo(signal: AbortSignal = new AbortController().signal): Io {
  return {
    env: { HOME: homedir(), ...process.env },
    cwd: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    ask: process.stdin.isTTY && process.stderr.isTTY ? ask : undefined,
    now: Date.now,
    signal,
    version: packageVersion,
    user: () => userInfo().username,
    examples: join(packageRoot(), 'docs', 'examples'),
    builtAfter: BUILT_AFTER_MS,
    readLog: async function* (path, lines) {
      yield* (await import('./adapters/service-log-reader.ts')).tailLog(path, { lines });
    },
    followLog: async function* (path, lines) {
      const { followLog } = await import('./adapters/service-log-reader.ts');
      yield* followLog(path, { lines, signal, clock: createNodeClock() });
    },
    // imported only by `up`: it brings the Supervisor, the database and all adapters
    startNode: async (config) => (await import('./node.ts')).startNode(config),
    joinFleet: async (request) => (await import('./join-fleet.ts')).joinFleet(request),
    joinAsMember: async (request) => (await import('./join-member.ts')).joinAsMember(request),
    onStopRequest,
    quit: (code) => process.exit(code),
  };
}

function onStopRequest(handler: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

/** An end of input (Ctrl-D) and Ctrl-C are an empty answer. */
async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new Promise<undefined>((resolve) => reader.once('close', () => resolve(undefined)));
  try {
    const answer = await Promise.race([reader.question(question), closed]);
    // The terminal is still on the line of the question then: what is said next begins a new one.
    if (answer === undefined) process.stderr.write('\n');
    return answer ?? '';
  } finally {
    reader.close();
  }
}
