import type { ServiceReport, ServiceState } from '../../contract/node.ts';
import type { PlannedService } from '../../contract/plan.ts';
import type { Clock } from '../../ports/clock.ts';
import type { HealthProbe } from '../../ports/health-probe.ts';
import { ProcessError, type ProcessExit, type ProcessHost, type ProcessRef } from '../../ports/process-host.ts';
import type { Random } from '../../ports/random.ts';
import type { WantedService } from './diff.ts';
import { watchHealth } from './health.ts';
import { decideRestart, MIN_RETRY_MS } from './restarts.ts';
import { killRest, stopProcess } from './stop-process.ts';

/** How long an apply waits for a service without a health check, milliseconds. */
const NO_CHECK_GRACE_MS = 2_000;
const MAX_DETAIL = 1_024;

type Variables = Readonly<Record<string, string>>;

export interface UnitDeps {
  readonly host: ProcessHost;
  readonly probe: HealthProbe;
  readonly clock: Clock;
  readonly random: Random;
  /** What the node adds to the plan's `env`; it wins over the plan. */
  readonly environment: (service: PlannedService) => Variables | Promise<Variables>;
  /**
   * Makes ready what the process needs (its artifact) and says where it runs. A rejection counts as a failed start. `note`
   * takes how it goes, in words.
   */
  readonly prepare?: (service: PlannedService, signal: AbortSignal, note?: (words: string) => void) => Promise<{ readonly cwd?: string }>;
  readonly onState: (unit: ServiceUnit) => void;
}

const WORDS: { readonly [S in ServiceState]?: string } = { starting: 'not healthy yet', backoff: 'waiting for its restart' };

/** `ready: false` says why, fit to show to a person. */
export type Readiness = { readonly ready: true } | { readonly ready: false; readonly message: string };

/** How one run of the process ended; `terminal` when another start right away is pointless. */
interface RunEnd {
  readonly message: string;
  readonly terminal: boolean;
}

/** One service under supervision, from its start (or adoption) until `stop` or `detach`. */
export class ServiceUnit {
  readonly spec_hash: string;
  readonly #deps: UnitDeps;
  readonly #ending = new AbortController();
  readonly #life: Promise<void>;
  #service: PlannedService;
  #ref: ProcessRef | undefined;
  #cwd: string | undefined;
  #launching = false;
  #state: ServiceState = 'starting';
  #detail = '';
  #restarts = 0;
  #recent: readonly number[] = [];
  #since: number;
  #changed = Promise.withResolvers<void>();
  #wake = new AbortController();
  #stopping: Promise<boolean> | undefined;

  constructor(deps: UnitDeps, wanted: WantedService, adopted?: ProcessRef) {
    this.#deps = deps;
    this.#service = wanted.service;
    this.spec_hash = wanted.spec_hash;
    this.#since = deps.clock.monotonic();
    this.#life = this.#live(adopted);
  }

  get name(): string {
    return this.#service.name;
  }

  get version(): string {
    return this.#service.version;
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** Why the state is what it is: the last health answer, or how the process ended. */
  get detail(): string {
    return this.#detail;
  }

  /** The process that runs; undefined between two. */
  get ref(): ProcessRef | undefined {
    return this.#ref;
  }

  /** Supervision has ended, by `stop` or `detach`; a process that no signal ends may be left. */
  get isOver(): boolean {
    return this.#ending.signal.aborted;
  }

  /** True for the process of this unit, and for any of its name while a start is under way. */
  owns(ref: ProcessRef): boolean {
    return this.#launching || (this.#ref?.pid === ref.pid && this.#ref.started === ref.started);
  }

  report(): ServiceReport {
    const health = this.#detail.slice(0, MAX_DETAIL);
    return { name: this.name, version: this.version, state: this.#state, ...(health !== '' && { health }), restarts: this.#restarts };
  }

  /** Takes over a change that needs no restart: health check, restart limits, stop time. */
  update(service: PlannedService): void {
    this.#service = service;
  }

  /** Ends the pause after a crash loop. */
  retry(): void {
    if (this.#state !== 'failed') return;
    this.#since = this.#deps.clock.monotonic();
    this.#enter('starting', '');
    this.#wake.abort();
  }

  /** Waits until the service is healthy, has failed, or its grace is over. An abort ends the wait at once. */
  async ready(signal: AbortSignal): Promise<Readiness> {
    for (;;) {
      if (this.#state === 'running') return { ready: true };
      const left_ms = this.#since + this.#graceMs() - this.#deps.clock.monotonic();
      if (this.#state === 'failed' || left_ms <= 0 || signal.aborted) return { ready: false, message: this.describe() };
      await this.#nextChange(left_ms, signal);
    }
  }

  describe(): string {
    const detail = this.#detail === '' ? '' : `: ${this.#detail}`;
    return `${this.name} is ${WORDS[this.#state] ?? this.#state}${detail}`;
  }

  /** Ends supervision and the process with its group. False when something is left that SIGKILL did not end. */
  stop(): Promise<boolean> {
    this.#stopping ??= this.#end().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  /** Ends supervision and leaves the process running. */
  detach(): void {
    this.#ending.abort();
  }

  async #end(): Promise<boolean> {
    this.#ending.abort();
    this.#enter('stopping', '');
    await this.#life;
    if (this.#ref !== undefined && !(await this.#quit(this.#ref))) {
      this.#enter('failed', stuckMessage(this.#ref));
      return false;
    }
    this.#ref = undefined;
    this.#enter('stopped', '');
    return true;
  }

  async #live(adopted: ProcessRef | undefined): Promise<void> {
    let known = adopted;
    while (!this.#ending.signal.aborted) {
      const end = await this.#runOnce(known);
      known = undefined;
      if (!this.#ending.signal.aborted) await this.#pause(end);
    }
  }

  async #runOnce(adopted: ProcessRef | undefined): Promise<RunEnd> {
    try {
      // Left by a run that could not be followed to its end.
      if (this.#ref !== undefined && !(await this.#kill(this.#ref))) return { message: stuckMessage(this.#ref), terminal: true };
      this.#move('starting', this.#detail);
      this.#ref = adopted ?? (await this.#launch());
      if (adopted !== undefined) void this.#findFolder();
      return this.#ref === undefined ? { message: 'stopped before its start', terminal: true } : await this.#follow(this.#ref);
    } catch (error) {
      return failedRun(error);
    }
  }

  /** Where the command checks of an adopted process run. Nothing waits for it. */
  async #findFolder(): Promise<void> {
    const place = await this.#prepare(this.#service).catch(() => undefined);
    this.#cwd = place?.cwd;
  }

  async #launch(): Promise<ProcessRef | undefined> {
    const service = this.#service;
    this.#cwd = (await this.#prepare(service, (words) => this.#move('starting', words))).cwd;
    // Getting an artifact takes as long as it takes: the grace is for the start.
    if (service.artifact !== undefined) this.#since = this.#deps.clock.monotonic();
    if (this.#ending.signal.aborted) return undefined;
    const { name, version, command, user } = service;
    const place = { ...(this.#cwd !== undefined && { cwd: this.#cwd }), ...(user !== undefined && { user }) };
    const env = await this.#env();
    if (this.#ending.signal.aborted) return undefined;
    this.#launching = true;
    try {
      // Set before `launching` ends, so that at no moment the process looks like a stranger.
      this.#ref = await this.#deps.host.start({ name, version, spec_hash: this.spec_hash, command, env, ...place });
      return this.#ref;
    } finally {
      this.#launching = false;
    }
  }

  async #prepare(service: PlannedService, note?: (words: string) => void): Promise<{ readonly cwd?: string }> {
    if (this.#deps.prepare !== undefined) return this.#deps.prepare(service, this.#ending.signal, note);
    if (service.artifact === undefined) return {};
    throw new ProcessError('failed', `service ${service.name} has an artifact and this node was set up without a way to get artifacts`);
  }

  /** Watches a process until it ends, is too unhealthy to go on (and is ended), or supervision ends. */
  async #follow(ref: ProcessRef): Promise<RunEnd> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#ending.signal]);
    const exit = this.#deps.host.exited(ref).then((how) => ({ alive: false, message: describeExit(how) }));
    const unhealthy = this.#watchHealth(signal).then((message) => ({ alive: true, message }));
    const end = await Promise.race([exit, unhealthy]).finally(() => over.abort());
    if (this.#ending.signal.aborted) return { message: '', terminal: false };
    const gone = end.alive ? await this.#quit(ref) : await this.#kill(ref);
    if (!gone) return { message: stuckMessage(ref), terminal: true };
    this.#ref = undefined;
    return { message: end.message, terminal: false };
  }

  #watchHealth(signal: AbortSignal): Promise<string> {
    return watchHealth({
      clock: this.#deps.clock,
      signal,
      service: () => this.#service,
      probe: async (check, timeout_ms) => {
        const { user, name } = this.#service;
        const place = { ...(this.#cwd !== undefined && { cwd: this.#cwd }), ...(user !== undefined && { user }) };
        return this.#deps.probe.probe(check, { timeout_ms, env: await this.#env(), service: name, ...place });
      },
      onHealth: (state, detail) => this.#move(state, detail),
    });
  }

  /** Waits before the next start: a backoff, or a long pause after a crash loop or a start that can't work. */
  async #pause(end: RunEnd): Promise<void> {
    const { clock, random } = this.#deps;
    const give_up = { kind: 'give_up', retry_ms: MIN_RETRY_MS } as const;
    const decision = end.terminal ? give_up : decideRestart(this.#service.restart, this.#recent, clock.monotonic(), random.next());
    if (decision.kind === 'restart') {
      this.#recent = decision.restarts;
      this.#move('backoff', end.message);
      await clock.sleep(decision.delay_ms, this.#ending.signal);
    } else {
      const loop = end.terminal ? '' : ` (gave up after ${this.#recent.length} restarts within ${this.#service.restart.window_seconds} s)`;
      this.#wake = new AbortController();
      this.#move('failed', `${end.message}${loop}`);
      await clock.sleep(decision.retry_ms, AbortSignal.any([this.#wake.signal, this.#ending.signal]));
      this.#recent = [];
    }
    this.#restarts += 1;
  }

  #quit(ref: ProcessRef): Promise<boolean> {
    return stopProcess(this.#deps.host, this.#deps.clock, ref, this.#service.stop_grace_seconds * 1_000);
  }

  #kill(ref: ProcessRef): Promise<boolean> {
    return killRest(this.#deps.host, this.#deps.clock, ref);
  }

  async #env(): Promise<Variables> {
    return { ...this.#service.env, ...(await this.#deps.environment(this.#service)) };
  }

  /** An apply waits at least for one answer of the check, also when the grace is 0. */
  #graceMs(): number {
    const { health } = this.#service;
    return health === undefined ? NO_CHECK_GRACE_MS : Math.max(health.grace_seconds, health.timeout_seconds) * 1_000;
  }

  async #nextChange(limit_ms: number, signal: AbortSignal): Promise<void> {
    const waiting = new AbortController();
    const sleep = this.#deps.clock.sleep(limit_ms, AbortSignal.any([waiting.signal, signal]));
    await Promise.race([this.#changed.promise, sleep]);
    waiting.abort();
  }

  /** A change of state by the unit's own life, which no longer counts once supervision has ended. */
  #move(state: ServiceState, detail: string): void {
    if (!this.#ending.signal.aborted) this.#enter(state, detail);
  }

  #enter(state: ServiceState, detail: string): void {
    const changed = state !== this.#state;
    this.#state = state;
    this.#detail = detail;
    if (!changed) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
    this.#deps.onState(this);
  }
}

function describeExit({ code, signal }: ProcessExit): string {
  if (signal !== undefined) return `ended by ${signal}`;
  return code === undefined ? 'ended' : `exited with code ${code}`;
}

function stuckMessage({ pid }: ProcessRef): string {
  return `process ${pid} or a child of it does not end after SIGKILL`;
}

/** A program that is missing or may not run fails again at once; anything else (no memory, no pids) may pass. */
function failedRun(error: unknown): RunEnd {
  const message = error instanceof Error ? error.message : String(error);
  return { message, terminal: error instanceof ProcessError && error.kind !== 'failed' };
}
