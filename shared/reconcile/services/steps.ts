import { describeError } from '../wording.ts';
import type { ServiceAction, ServiceActionKind, WantedService } from './diff.ts';
import { stopProcess } from './stop-process.ts';
import { ServiceUnit, type UnitDeps } from './unit.ts';

/** What the steps of an apply work on. `units` are in the order of their start. */
export interface StepContext {
  readonly deps: UnitDeps;
  readonly units: Map<string, ServiceUnit>;
  /** Names of which a copy is left that nothing could end: no second one is started beside it. */
  readonly stuck: Set<string>;
  /** Ends waits, when a later apply supersedes this one. */
  readonly signal: AbortSignal;
  /** The document differs from the one before: what had been given up is tried again. */
  readonly retry_failed: boolean;
}

/** What went wrong, fit to show to a person. */
export interface Problem {
  readonly message: string;
  /** True when a later health check can't put it right. */
  readonly lasting: boolean;
}

/** A process that no plan speaks of any more has the schema's default time to stop. */
export const STRAY_GRACE_MS = 10_000;

type Steps = { readonly [K in ServiceActionKind]: (context: StepContext, action: ServiceAction<K>) => Promise<Problem | undefined> };

const STEPS: Steps = {
  stop: async ({ units }, { name }) => {
    const unit = units.get(name);
    if (unit === undefined) return undefined;
    if (!(await unit.stop())) return { message: unit.describe(), lasting: true };
    units.delete(name);
    return undefined;
  },
  clear: async ({ deps, stuck }, { process, reason }) => {
    const grace_ms = reason === 'orphaned' ? 0 : STRAY_GRACE_MS;
    if (await stopProcess(deps.host, deps.clock, process.ref, grace_ms)) return undefined;
    stuck.add(process.name);
    return { message: `process ${process.ref.pid} of service ${process.name} does not end after SIGKILL`, lasting: true };
  },
  start: (context, { wanted }) => begin(context, wanted),
  adopt: (context, { wanted, process }) => begin(context, wanted, process.ref),
  restart: async (context, { wanted }) => {
    // What runs goes on until the new version is here, and for good when it can't be had.
    const missing = await whyNotReady(context, wanted);
    if (missing !== undefined || context.signal.aborted) return missing;
    const unit = context.units.get(wanted.service.name);
    if (unit !== undefined && !(await unit.stop())) return { message: unit.describe(), lasting: true };
    context.units.delete(wanted.service.name);
    return context.signal.aborted ? undefined : begin(context, wanted);
  },
  keep: async (context, { wanted }) => {
    const unit = context.units.get(wanted.service.name);
    if (unit === undefined) return undefined;
    unit.update(wanted.service);
    if (context.retry_failed) unit.retry();
    return awaitReady(unit, context.signal);
  },
};

/** Runs one action. */
export function runStep<K extends ServiceActionKind>(context: StepContext, action: ServiceAction<K>): Promise<Problem | undefined> {
  const kind: K = action.kind;
  return STEPS[kind](context, action);
}

async function whyNotReady({ deps, signal }: StepContext, { service }: WantedService): Promise<Problem | undefined> {
  if (service.artifact === undefined) return undefined;
  try {
    await deps.prepare?.(service, signal);
    return undefined;
  } catch (error) {
    return { message: `${service.name} stays as it is: ${describeError(error)}`, lasting: true };
  }
}

async function begin(
  { deps, units, stuck, signal }: StepContext,
  wanted: WantedService,
  adopted?: ServiceUnit['ref'],
): Promise<Problem | undefined> {
  const { name } = wanted.service;
  if (stuck.has(name)) return { message: `${name} is not started beside a copy that does not end`, lasting: true };
  const unit = new ServiceUnit(deps, wanted, adopted);
  units.set(name, unit);
  return awaitReady(unit, signal);
}

async function awaitReady(unit: ServiceUnit, signal: AbortSignal): Promise<Problem | undefined> {
  const readiness = await unit.ready(signal);
  return readiness.ready ? undefined : { message: readiness.message, lasting: false };
}
