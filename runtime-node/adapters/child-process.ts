import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../shared/ports/clock.ts';
import {
  ProcessError,
  type ProcessExit,
  type ProcessHost,
  type ProcessRef,
  type ProcessSpec,
  type RunningProcess,
} from '../../shared/ports/process-host.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { encodeMark, MARK_NAME, nameDataDir } from './child-process-mark.ts';
import { type Place, placeCommand, type ServicePlaceOptions } from './child-process-place.ts';
import { openProcessRecords, type ProcessRecord, type ProcessRecords } from './child-process-records.ts';
import { findRuns, type LiveRun } from './child-process-runs.ts';
import { openProcessTable, type ProcessTable } from './child-process-table.ts';
import type { ServiceLogs } from './service-logs.ts';

export interface ProcessHostOptions extends ServicePlaceOptions {
  readonly node_id: string;
  readonly clock: Clock;
  /** Where the output of a service goes. */
  readonly logs: Pick<ServiceLogs, 'openForAppend'>;
  /** Default: that of the platform. */
  readonly table?: ProcessTable;
  /** Moves a record that can't be read away. Absent: it is passed over. */
  readonly set_aside?: (path: string, why: string) => void;
}

interface OwnExit {
  readonly name: string;
  readonly exit: Promise<ProcessExit>;
  over: boolean;
}

/** How often an adopted process, which is no child of ours, is looked at, milliseconds. */
const LOOK_MS = 250;

/**
 * Plain processes of the machine, each the leader of its own session and group, with output to a
 * file, so that nothing of them depends on this process. A left-over of an earlier run is recognised
 * by the mark in its environment and by its record (pid and start time) in `<data_dir>/processes`.
 * Without `/proc` (macOS) records are all there is: children that outlive both a service and the node are not found.
 */
export function createProcessHost(options: ProcessHostOptions): ProcessHost {
  return new ChildProcessHost(options);
}

class ChildProcessHost implements ProcessHost {
  readonly #options: ProcessHostOptions;
  readonly #table: ProcessTable;
  readonly #records: ProcessRecords;
  readonly #data: string;
  readonly #exits = new Map<string, OwnExit>();
  readonly #followed = new Set<string>();

  constructor(options: ProcessHostOptions) {
    this.#options = options;
    this.#table = options.table ?? openProcessTable();
    this.#records = openProcessRecords(join(options.data_dir, 'processes'), options.set_aside);
    this.#data = nameDataDir(options.data_dir);
  }

  async start(spec: ProcessSpec): Promise<ProcessRef> {
    const place = await placeCommand(this.#options, spec).catch((error: unknown) => {
      throw toProcessError(spec.name, error);
    });
    const run = randomUUID();
    const { name, version, spec_hash } = spec;
    const mark = encodeMark({ data: this.#data, node_id: this.#options.node_id, run, name, version, spec_hash });
    try {
      const child = this.#spawn(name, place, mark);
      const ref = this.#note(child, { run, name, version, spec_hash });
      await spawned(child);
      if (ref !== undefined) return ref;
      // Nothing would find it again: better none than one that nobody watches.
      child.kill('SIGKILL');
      throw new Error('its start could not be recorded');
    } catch (error) {
      throw toProcessError(name, error);
    }
  }

  async list(): Promise<RunningProcess[]> {
    const runs = await this.#runs();
    return runs.map(({ ref, name, version, spec_hash, orphaned }) => ({ ref, name, version, spec_hash, orphaned }));
  }

  /** What lives; what is remembered of runs that are gone is dropped on the way. */
  async #runs(): Promise<LiveRun[]> {
    const records = this.#records.list();
    const entries = await this.#table.list();
    const runs = findRuns({ entries, records, data: this.#data, followed: this.#followed });
    for (const { run } of runs) this.#followed.add(run);
    const live = new Set(runs.map(({ run }) => run));
    for (const { run } of records.filter((record) => !live.has(record.run))) {
      this.#records.remove(run);
      this.#followed.delete(run);
    }
    return runs;
  }

  exited(ref: ProcessRef): Promise<ProcessExit> {
    return this.#exits.get(keyOf(ref))?.exit ?? this.#watch(ref);
  }

  async signal(ref: ProcessRef, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const run = (await this.#runs()).find((one) => one.ref.pid === ref.pid && (one.orphaned || one.ref.started === ref.started));
    if (run === undefined) return;
    const in_group = run.members.filter(({ pgid }) => pgid === ref.pid);
    if (in_group.length > 0) send(-ref.pid, signal);
    for (const { pid, pgid } of run.members) if (pgid !== ref.pid) send(pid, signal);
  }

  #spawn(name: string, { program, args, options }: Place, mark: string): ChildProcess {
    const output = this.#options.logs.openForAppend(name);
    try {
      const stdio: SpawnOptions['stdio'] = ['ignore', output, output];
      const child = spawn(program, args, { ...options, env: { ...options.env, [MARK_NAME]: mark }, detached: true, stdio });
      child.unref();
      return child;
    } finally {
      closeSync(output);
    }
  }

  /** Without an await since the spawn: the child can't have been reaped, so that its start time is there to read. */
  #note(child: ChildProcess, what: { run: string; name: string; version: string; spec_hash: string }): ProcessRef | undefined {
    const { pid } = child;
    const started = pid === undefined ? undefined : this.#table.look(pid)?.started;
    if (pid === undefined || started === undefined) return undefined;
    const ref = { pid, started };
    this.#followed.add(what.run);
    this.#followExit(child, what.name, ref);
    return this.#record({ ...what, ...ref }) ? ref : undefined;
  }

  /** A full disk is no reason not to run, where the mark alone tells enough. */
  #record(record: ProcessRecord): boolean {
    try {
      this.#records.add(record);
      return true;
    } catch {
      return this.#table.shows_marks;
    }
  }

  /** How a child ended is kept until its service is started again, for whoever asks late. */
  #followExit(child: ChildProcess, name: string, ref: ProcessRef): void {
    for (const [key, own] of this.#exits) if (own.name === name && own.over) this.#exits.delete(key);
    const { promise, resolve } = Promise.withResolvers<ProcessExit>();
    const own: OwnExit = { name, exit: promise, over: false };
    this.#exits.set(keyOf(ref), own);
    child.once('exit', (code, signal) => {
      own.over = true;
      resolve({ ...(code !== null && { code }), ...(signal !== null && { signal }) });
    });
  }

  async #watch(ref: ProcessRef): Promise<ProcessExit> {
    for (;;) {
      const now = this.#table.look(ref.pid);
      if (now === undefined || now.ended || now.started !== ref.started) return {};
      await this.#options.clock.sleep(LOOK_MS);
    }
  }
}

/** Rejects when the program could not be executed. */
function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
}

function keyOf({ pid, started }: ProcessRef): string {
  return `${pid} ${started}`;
}

function send(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return;
    throw new ProcessError('not_permitted', `process ${Math.abs(pid)} can't be signalled: ${messageOf(error)}`, { cause: error });
  }
}

/** The program was checked before; what fails here is its interpreter, or the machine. */
function toProcessError(service: string, error: unknown): ProcessError {
  if (error instanceof ProcessError) return error;
  const code = codeOf(error);
  const kind = code === 'ENOENT' ? 'not_found' : code === 'EACCES' || code === 'EPERM' ? 'not_permitted' : 'failed';
  const hint = kind === 'not_found' ? ' (the interpreter named in its first line, or its folder, is not there)' : '';
  return new ProcessError(kind, `service ${service} can't be started: ${messageOf(error)}${hint}`, { cause: error });
}
