import type { Clock } from '../../shared/ports/clock.ts';
import {
  ProcessError,
  type ProcessExit,
  type ProcessHost,
  type ProcessRef,
  type ProcessSpec,
  type RunningProcess,
} from '../../shared/ports/process-host.ts';

/** What the processes of a fake host do; chosen by the first words of a command. */
export type FakeCommand =
  | readonly ['stay']
  | readonly ['exit', code: string, after_ms: string]
  | readonly ['ignore-sigterm']
  | readonly ['with-child']
  | readonly ['missing']
  | readonly ['stuck'];

interface FakeProcess extends RunningProcess {
  readonly command: readonly string[];
  readonly spec: ProcessSpec;
  alive: boolean;
  child: boolean;
  readonly exit: PromiseWithResolvers<ProcessExit>;
}

/** The machine: processes outlive the hosts that look at it. */
export class FakeMachine {
  readonly clock: Clock;
  /** All that ever ran, oldest first. */
  readonly processes: FakeProcess[] = [];
  /** What was done, as `start api 1`, `SIGTERM api 1`. */
  readonly trace: string[] = [];
  /** Starts of these services wait until the promise resolves. */
  readonly held = new Map<string, Promise<void>>();
  /** Starts of these services are answered only when the promise resolves; the process runs already. */
  readonly slow = new Map<string, Promise<void>>();
  /** Starts beside a copy that still ran: there must never be one. */
  readonly doubles: string[] = [];
  /** Rejects the next list with this. */
  list_error: Error | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  alive(name: string): FakeProcess[] {
    return this.processes.filter((one) => one.name === name && one.alive);
  }

  /** Ends the process of a service as a crash would. */
  crash(name: string, exit: ProcessExit = { code: 1 }): void {
    for (const process of this.alive(name)) this.end(process, exit);
  }

  end(process: FakeProcess, exit: ProcessExit): void {
    if (!process.alive) return;
    process.alive = false;
    process.child = process.command[0] === 'with-child';
    process.exit.resolve(exit);
  }

  find(ref: ProcessRef): FakeProcess | undefined {
    return this.processes.find((one) => one.ref.pid === ref.pid && one.ref.started === ref.started);
  }
}

/** A host over a fake machine. A second one over the same machine is the node after a crash. */
export function fakeProcessHost(machine: FakeMachine): ProcessHost {
  const own = new Set<FakeProcess>();
  return {
    async start(spec) {
      await machine.held.get(spec.name);
      const process = launch(machine, spec);
      own.add(process);
      await machine.slow.get(spec.name);
      return process.ref;
    },
    async list() {
      const error = machine.list_error;
      machine.list_error = undefined;
      if (error !== undefined) throw error;
      const running = machine.processes.filter(({ alive, child }) => alive || child);
      return running.map(({ ref, name, version, spec_hash, alive }) => ({ ref, name, version, spec_hash, orphaned: !alive }));
    },
    async exited(ref) {
      const process = machine.find(ref);
      if (process === undefined) return {};
      const exit = await process.exit.promise;
      return own.has(process) ? exit : {};
    },
    async signal(ref, signal) {
      const process = machine.find(ref);
      if (process === undefined || !(process.alive || process.child)) return;
      machine.trace.push(`${signal} ${process.name} ${process.version}`);
      deliver(machine, process, signal);
    },
  };
}

function launch(machine: FakeMachine, spec: ProcessSpec): FakeProcess {
  const { name, version, spec_hash, command } = spec;
  if (command[0] === 'missing') throw new ProcessError('not_found', `the program of service ${name} is not there: missing`);
  if (machine.alive(name).length > 0) machine.doubles.push(`${name} ${version}`);
  const pid = 1_000 + machine.processes.length;
  const exit = Promise.withResolvers<ProcessExit>();
  const process = {
    ref: { pid, started: `t${pid}` },
    name,
    version,
    spec_hash,
    orphaned: false,
    command,
    spec,
    alive: true,
    child: false,
    exit,
  };
  machine.processes.push(process);
  machine.trace.push(`start ${name} ${version}`);
  if (command[0] === 'exit') {
    void machine.clock.sleep(Number(command[2])).then(() => machine.end(process, { code: Number(command[1]) }));
  }
  return process;
}

function deliver(machine: FakeMachine, process: FakeProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  const [kind] = process.command;
  if (kind === 'stuck' || (kind === 'ignore-sigterm' && signal === 'SIGTERM')) return;
  machine.end(process, { signal });
  process.child = false;
}
