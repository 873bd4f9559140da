import type { PlannedService } from '../../contract/plan.ts';
import type { RunningProcess } from '../../ports/process-host.ts';
import type { ActionView } from '../types.ts';

/** A service as the plan wants it, with the hash of what it is started from. */
export interface WantedService {
  readonly service: PlannedService;
  readonly spec_hash: string;
}

/** A service that this node supervises already, with a process or waiting to be restarted. */
export interface SupervisedService {
  readonly name: string;
  readonly version: string;
  readonly spec_hash: string;
  /** Its stop failed: what is left of it is still to be ended, and nothing keeps it running. */
  readonly is_over?: boolean;
}

/** What is there: the supervised services in the order of their start, and processes that nobody supervises, oldest first. */
export interface ActualServices {
  readonly supervised: readonly SupervisedService[];
  readonly strays: readonly RunningProcess[];
}

export type StopReason = 'not_wanted' | 'duplicate' | 'changed' | 'orphaned';

interface ActionFields {
  /** Ends a supervised service. */
  readonly stop: { readonly name: string; readonly version: string };
  /** Ends a process that nobody supervises. */
  readonly clear: { readonly process: RunningProcess; readonly reason: StopReason };
  readonly start: { readonly wanted: WantedService };
  readonly restart: { readonly wanted: WantedService; readonly from: SupervisedService };
  /** Begins to supervise a process that an earlier run of the node started. */
  readonly adopt: { readonly wanted: WantedService; readonly process: RunningProcess };
  readonly keep: { readonly wanted: WantedService };
}
export type ServiceActionKind = keyof ActionFields;
/** A closed union by `kind`; with a type argument, one or some of its members. */
export type ServiceAction<K extends ServiceActionKind = ServiceActionKind> = {
  [P in K]: { readonly kind: P } & ActionFields[P];
}[K];

/**
 * The actions that bring a node from what runs to what is wanted, in the order in which they run:
 * first everything that ends, in reverse order of start, so that ports and files are free, then the
 * wanted services in plan order. A list that is empty by mistake stops everything: the caller passes
 * only a verified document, and never an absent one.
 */
export function diffServices(wanted: readonly WantedService[], { supervised, strays }: ActualServices): ServiceAction[] {
  const names = new Set(wanted.map(({ service }) => service.name));
  const rising = wanted.map((one) => chooseRise(one, supervised, strays));
  const adopted = new Set(rising.flatMap((action) => (action.kind === 'adopt' ? [action.process] : [])));
  const stops = supervised
    .filter(({ name }) => !names.has(name))
    .map(({ name, version }): ServiceAction => ({ kind: 'stop', name, version }));
  const clears = strays
    .filter((process) => !adopted.has(process))
    .map((process): ServiceAction => ({ kind: 'clear', process, reason: clearReason(process, wanted) }));
  return [...clears.reverse(), ...stops.reverse(), ...rising];
}

function chooseRise(wanted: WantedService, supervised: readonly SupervisedService[], strays: readonly RunningProcess[]): ServiceAction {
  const current = supervised.find(({ name }) => name === wanted.service.name);
  if (current !== undefined) {
    return current.spec_hash === wanted.spec_hash && current.is_over !== true
      ? { kind: 'keep', wanted }
      : { kind: 'restart', wanted, from: current };
  }
  const process = strays.find((stray) => isSame(stray, wanted));
  return process === undefined ? { kind: 'start', wanted } : { kind: 'adopt', wanted, process };
}

function isSame(stray: RunningProcess, { service, spec_hash }: WantedService): boolean {
  return !stray.orphaned && stray.name === service.name && stray.spec_hash === spec_hash;
}

function clearReason(process: RunningProcess, wanted: readonly WantedService[]): StopReason {
  if (process.orphaned) return 'orphaned';
  const service = wanted.find((one) => one.service.name === process.name);
  if (service === undefined) return 'not_wanted';
  return service.spec_hash === process.spec_hash ? 'duplicate' : 'changed';
}

const REASONS: { readonly [K in StopReason]: string } = {
  not_wanted: 'the plan has no such service here',
  duplicate: 'a second copy',
  changed: 'it was started from another version or command',
  orphaned: 'only children of a service that ended',
};

/** The actions as people see them; `keep` is no change and is left out. */
export function viewActions(actions: readonly ServiceAction[]): ActionView[] {
  return actions.filter((action) => action.kind !== 'keep').map(viewAction);
}

function viewAction(action: ServiceAction<Exclude<ServiceActionKind, 'keep'>>): ActionView {
  switch (action.kind) {
    case 'stop':
      return { kind: 'stop-service', safety: 'update', subject: `service ${action.name}`, before: action.version };
    case 'clear':
      return {
        kind: 'stop-process',
        safety: 'update',
        subject: `process ${action.process.ref.pid} of service ${action.process.name}`,
        before: action.process.version,
        detail: REASONS[action.reason],
      };
    case 'start':
      return { kind: 'start-service', safety: 'add', subject: subjectOf(action.wanted), after: action.wanted.service.version };
    case 'adopt':
      return { kind: 'adopt-service', safety: 'add', subject: subjectOf(action.wanted), after: action.wanted.service.version };
    case 'restart':
      return {
        kind: 'restart-service',
        safety: 'update',
        subject: subjectOf(action.wanted),
        before: action.from.version,
        after: action.wanted.service.version,
      };
    default:
      return action satisfies never;
  }
}

function subjectOf({ service }: WantedService): string {
  return `service ${service.name}`;
}
