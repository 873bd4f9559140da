import type { ServiceReport } from '../../contract/node.ts';
import type { PlannedService } from '../../contract/plan.ts';
import type { ComponentStatus } from '../../contract/status.ts';
import type { RunningProcess } from '../../ports/process-host.ts';
import type { ComponentDiff, Desired, ServiceManager } from '../types.ts';
import { describeError, listed } from '../wording.ts';
import { type ActualServices, diffServices, type ServiceAction, viewActions, type WantedService } from './diff.ts';
import { type JournalDeps, ServiceJournal } from './journal.ts';
import { serviceSpecHash } from './spec-hash.ts';
import { type Problem, runStep, STRAY_GRACE_MS } from './steps.ts';
import { stopProcess } from './stop-process.ts';
import type { ServiceUnit, UnitDeps } from './unit.ts';

export interface ServiceManagerDeps extends Omit<UnitDeps, 'onState'>, JournalDeps {}

/**
 * Local services as plain processes. An `apply` with an empty list stops them all, because that is
 * what it says: the caller passes only what it took from a verified Cluster Plan, and does not call at
 * all while it has none.
 */
export function createServiceManager(deps: ServiceManagerDeps): ServiceManager {
  return new Manager(deps);
}

class Manager implements ServiceManager {
  readonly #deps: ServiceManagerDeps;
  readonly #unitDeps: UnitDeps;
  readonly #journal: ServiceJournal;
  readonly #units = new Map<string, ServiceUnit>();
  #found: readonly RunningProcess[] = [];
  #order: readonly string[] = [];
  #last_hash: string | undefined;
  /** The version that takes the place of one that stops for it. */
  #rising: PlannedService | undefined;
  #over = false;
  #current = new AbortController();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: ServiceManagerDeps) {
    this.#deps = deps;
    this.#journal = new ServiceJournal(deps, () => [...this.#units.values()]);
    this.#unitDeps = { ...deps, onState: (unit) => this.#journal.noteState(unit) };
  }

  async adopt(): Promise<void> {
    try {
      this.#found = await this.#deps.host.list();
    } catch (error) {
      this.#deps.log.error(`processes of an earlier run could not be looked for: ${describeError(error)}`);
    }
    for (const { name, version, ref } of this.#found) {
      this.#deps.log.info(`found service ${name} ${version} running from before`, { service: name, pid: ref.pid });
    }
  }

  apply(desired: Desired<readonly PlannedService[]>): Promise<ComponentStatus> {
    this.#current.abort();
    const current = new AbortController();
    this.#current = current;
    const run = this.#queue.then(() => this.#apply(desired, current.signal));
    this.#queue = run;
    return run;
  }

  async diff({ body }: Desired<readonly PlannedService[]>): Promise<ComponentDiff> {
    const answer = { component: 'services', backend: 'processes' } as const;
    try {
      return { ...answer, actions: viewActions(await this.#plan(body)) };
    } catch (error) {
      return { ...answer, actions: [], failed: `the running processes could not be read: ${describeError(error)}` };
    }
  }

  reports(): ServiceReport[] {
    const supervised = this.#withRising([...this.#units.values()].map((unit) => unit.report()));
    const found = this.#found
      .filter(({ name, orphaned }) => !orphaned && !this.#units.has(name))
      .map(({ name, version }): ServiceReport => ({ name, version, state: 'running', health: 'found running, not checked yet' }));
    const place = ({ name }: ServiceReport) => (this.#order.includes(name) ? this.#order.indexOf(name) : this.#order.length);
    return [...supervised, ...found].sort((a, b) => place(a) - place(b));
  }

  /** Between two versions a service still has its place: a leader that hears of it just then must not give it away. */
  #withRising(reports: readonly ServiceReport[]): ServiceReport[] {
    const rising = this.#rising;
    if (rising === undefined) return [...reports];
    const { name, version } = rising;
    const others = reports.filter((one) => one.name !== name || (one.state !== 'stopping' && one.state !== 'stopped'));
    if (others.some((one) => one.name === name)) return others;
    return [...others, { name, version, state: 'starting', health: 'takes the place of another version' }];
  }

  status(): ComponentStatus | undefined {
    return this.#journal.status();
  }

  async stop(): Promise<void> {
    this.#over = true;
    this.#current.abort();
    await this.#queue;
    for (const unit of [...this.#units.values()].reverse()) await unit.stop();
    await this.#stopRest();
  }

  detach(): void {
    this.#over = true;
    this.#current.abort();
    for (const unit of this.#units.values()) unit.detach();
  }

  async #apply(desired: Desired<readonly PlannedService[]>, signal: AbortSignal): Promise<ComponentStatus> {
    const started = this.#deps.clock.monotonic();
    if (this.#over) return this.#journal.skip(desired, 'skipped', 'this node has ended the supervision of its services');
    if (signal.aborted) return this.#journal.skip(desired, 'pending', 'superseded by a later apply');
    this.#journal.begin(desired);
    try {
      const actions = await this.#plan(desired.body);
      const problems = await this.#run(actions, desired, signal);
      return await this.#journal.finish(desired, { actions, problems, superseded: signal.aborted, started });
    } catch (error) {
      const problem = { message: `the services could not be reconciled: ${describeError(error)}`, lasting: true };
      return await this.#journal.finish(desired, { actions: [], problems: [problem], superseded: false, started });
    }
  }

  async #plan(services: readonly PlannedService[]): Promise<ServiceAction[]> {
    const hash = async (service: PlannedService): Promise<WantedService> => ({ service, spec_hash: await serviceSpecHash(service) });
    return diffServices(await Promise.all(services.map(hash)), await this.#actual());
  }

  /** What runs now, read anew each time. */
  async #actual(): Promise<ActualServices> {
    const running = await this.#deps.host.list();
    const supervised = [...this.#units.values()].map(({ name, version, spec_hash, isOver }) => ({
      name,
      version,
      spec_hash,
      is_over: isOver,
    }));
    return { supervised, strays: running.filter(({ name, ref }) => this.#units.get(name)?.owns(ref) !== true) };
  }

  async #run(
    actions: readonly ServiceAction[],
    desired: Desired<readonly PlannedService[]>,
    signal: AbortSignal,
  ): Promise<readonly Problem[]> {
    const retry_failed = this.#last_hash !== desired.hash;
    this.#last_hash = desired.hash;
    this.#order = desired.body.map(({ name }) => name);
    const context = { deps: this.#unitDeps, units: this.#units, stuck: new Set<string>(), signal, retry_failed };
    const problems: Problem[] = [];
    this.#prefetch(actions, signal);
    const rises = ({ name }: PlannedService) => actions.some((action) => risenBy(action)?.name === name);
    if (this.#rising !== undefined && !rises(this.#rising)) this.#rising = undefined;
    for (const action of actions) {
      if (signal.aborted) break;
      const began = this.#deps.clock.monotonic();
      if (action.kind === 'restart') this.#rising = action.wanted.service;
      const problem = await runStep(context, action);
      // What was stopped for a version that came too late is started by the apply that follows.
      if (signal.aborted) break;
      if (this.#rising !== undefined && risenBy(action)?.name === this.#rising.name) this.#rising = undefined;
      // Until its turn has come, what was found runs and holds its place: a leader must not hear otherwise.
      if (action.kind === 'clear') this.#found = this.#found.filter(({ ref }) => ref.pid !== action.process.ref.pid);
      if (problem !== undefined) problems.push(problem);
      await this.#journal.noteStep(desired, action, problem, this.#deps.clock.monotonic() - began);
    }
    if (!signal.aborted) this.#found = [];
    return problems;
  }

  /** The steps run one after the other; what they need from elsewhere comes at the same time. */
  #prefetch(actions: readonly ServiceAction[], signal: AbortSignal): void {
    for (const action of actions) {
      if (action.kind !== 'start' && action.kind !== 'restart') continue;
      const { service } = action.wanted;
      if (service.artifact !== undefined) void this.#deps.prepare?.(service, signal).catch(() => undefined);
    }
  }

  /** What nobody supervises: left-overs found before the first apply, children of services that ended. */
  async #stopRest(): Promise<void> {
    const { host, clock, log } = this.#deps;
    try {
      const rest = [...(await host.list())].reverse();
      const ended = await Promise.all(rest.map(({ ref }) => stopProcess(host, clock, ref, STRAY_GRACE_MS)));
      const left = rest.filter((_, index) => ended[index] === false).map(({ name, ref }) => `${name} (process ${ref.pid})`);
      if (left.length > 0) log.error(`these do not end after SIGKILL: ${listed(left)}`);
    } catch (error) {
      log.error(`what is left of the services could not be looked for: ${describeError(error)}`);
    }
  }
}

/** What runs after the action that did not run before it. */
function risenBy(action: ServiceAction): PlannedService | undefined {
  return action.kind === 'start' || action.kind === 'restart' ? action.wanted.service : undefined;
}
