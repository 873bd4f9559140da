/**
 * Runs the plain processes of services, each in its own process group, so that they outlive a crash
 * of the node and are found again by the next start.
 */
export interface ProcessHost {
  /** Starts one process. Rejects with `ProcessError` when it can't be started at all. */
  start(spec: ProcessSpec): Promise<ProcessRef>;
  /**
   * Everything of this node that runs, whoever started it: this process or one before a crash.
   * Oldest first. A process that has ended and only waits to be reaped does not run.
   */
  list(): Promise<RunningProcess[]>;
  /** Resolves when the process is gone, with how it ended as far as that is known. */
  exited(ref: ProcessRef): Promise<ProcessExit>;
  /** Signals the whole group, and what is left of it when the process itself is gone. A group that is gone is no error. */
  signal(ref: ProcessRef, signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export interface ProcessSpec {
  readonly name: string;
  readonly version: string;
  /** Hash of everything that makes a restart necessary when it changes. */
  readonly spec_hash: string;
  readonly command: readonly string[];
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. Absent: a folder of the service's own. */
  readonly cwd?: string;
  /** Only honoured when bootplane runs as root. */
  readonly user?: string;
}

/** `started` makes it safe against a reused pid: the kernel's start time of the process. */
export interface ProcessRef {
  readonly pid: number;
  readonly started: string;
}

export interface RunningProcess {
  readonly ref: ProcessRef;
  readonly name: string;
  readonly version: string;
  readonly spec_hash: string;
  /**
   * True when the process that was started is gone and only children of it are left. `ref.pid` is then
   * the pid that it had. Orphans are stopped, never adopted.
   */
  readonly orphaned: boolean;
}

/** Both undefined when it was not our child (adopted after a crash). */
export interface ProcessExit {
  readonly code?: number;
  readonly signal?: string;
}

export class ProcessError extends Error {
  readonly kind: 'not_found' | 'not_permitted' | 'no_such_user' | 'failed';
  constructor(kind: ProcessError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProcessError';
    this.kind = kind;
  }
}
