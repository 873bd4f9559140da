import picocolors from 'picocolors';
import type { Config, Environment } from '../config.ts';
import type { Joined, JoinRequest } from '../join-fleet.ts';
import type { JoinedMember, MemberJoinRequest } from '../join-member.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export type Input = AsyncIterable<Uint8Array | string>;

/** A node that runs in this process. */
export interface RunningNode {
  /** Where it listens. */
  readonly url: string;
  /** Resolves with the exit code when the node has stopped, whoever asked for it. */
  readonly stopped: Promise<number>;
  /** Stops in order: services, lease, listener. */
  stop(): Promise<void>;
  /** Stops in order, and for good: the fleet places its services elsewhere at once. */
  leave(): Promise<void>;
  /** Ends at once what runs; nothing is waited for. */
  kill(): void;
}

/** All that a command may touch beside the network and the files of its data directory. */
export interface Io {
  readonly env: Environment;
  readonly cwd: string;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Asks a person; undefined when there is no terminal to ask on. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Ends commands that follow something. */
  readonly signal: AbortSignal;
  /** Version of bootplane. */
  version(): string;
  /** Name of the user who runs this. */
  user(): string;
  /** The folder of the examples. */
  readonly examples: string;
  /** No right clock shows a time before this, milliseconds since the Unix epoch. */
  readonly builtAfter: number;
  /** The last lines of a service's log, reaching back into rotated files. */
  readLog(path: string, lines: number): AsyncIterable<string>;
  /** The last lines, and then each new one until `signal` aborts. */
  followLog(path: string, lines: number): AsyncIterable<string>;
  startNode(config: Config): Promise<RunningNode>;
  /** Writes the key of a fleet into a data directory. */
  joinFleet(request: JoinRequest): Promise<Joined>;
  /** Has a data directory let into a fleet without its key. */
  joinAsMember(request: MemberJoinRequest): Promise<JoinedMember>;
  /** Calls the handler for each request to stop (SIGINT, SIGTERM, SIGHUP); returns the way to stop listening. */
  onStopRequest(handler: () => void): () => void;
  /** Ends the process without waiting for anything. */
  quit(code: number): void;
}

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours for an output: none unless a person looks at it, and none with NO_COLOR (no-color.org). */
export function colorsFor(io: Io, output: Output = io.stdout): Colors {
  const plain = (io.env.NO_COLOR ?? '') !== '' || io.env.TERM === 'dumb';
  return picocolors.createColors(output.isTTY === true && !plain);
}

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Prints lines, each ended. */
export function printLines(io: Io, lines: readonly string[]): void {
  if (lines.length > 0) io.stdout.write(`${lines.join('\n')}\n`);
}

/** A line beside what is printed. On a terminal `withProgress` may have drawn where it begins. */
export function printNote(io: Io, line: string): void {
  const drawn = io.stderr.isTTY === true ? `\r${' '.repeat(LONGEST_PROGRESS)}\r` : '';
  io.stderr.write(`${drawn}${line}\n`);
}

/** Characters: no text of `withProgress` is longer. */
const LONGEST_PROGRESS = 60;

/** Shows what is being waited for while `work` runs; only to a person. */
export async function withProgress<T>(io: Io, text: string, work: Promise<T>): Promise<T> {
  if (io.stderr.isTTY !== true) return work;
  const frames = ['|', '/', '-', '\\'];
  let turn = 0;
  const draw = () => io.stderr.write(`\r${frames[turn++ % frames.length]} ${text}`);
  // What answers at once should not flicker.
  const timer = setInterval(draw, 150);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (turn > 0) io.stderr.write(`\r${' '.repeat(text.length + 2)}\r`);
  }
}
