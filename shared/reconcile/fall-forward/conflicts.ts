import { EnvironmentComponentName } from '../../contract/backlog.ts';
import type {
  BacklogConflict,
  BacklogConflicts,
  BacklogMove,
  BacklogMoved,
  ConflictAnswer,
  ConflictDecision,
} from '../../contract/backlog-conflict.ts';
import type { Log } from '../../ports/log.ts';
import { nameOf } from '../part.ts';
import type { Report } from '../types.ts';
import { type ConflictDesk, refuse } from './conflict-desk.ts';
import type { Forwards } from './types.ts';

/** Which conflicts are asked for. */
export interface ConflictQuery {
  readonly component?: EnvironmentComponentName;
  readonly limit: number;
  /** Behind the one of this id. */
  readonly after?: string;
  /** This one alone. */
  readonly id?: string;
}

/** What a node did not bring over, and how a person ends it. Both reject only where its list can't be read or noted. */
export interface Conflicts {
  list(query: ConflictQuery): Promise<BacklogConflicts>;
  resolve(decision: ConflictDecision, decided_by: string): Promise<ConflictAnswer>;
  /** What waits for an external that is configured no more goes to the one of now. */
  move(request: BacklogMove, decided_by: string): Promise<BacklogMoved>;
}

export interface ConflictDeps {
  readonly node_id: string;
  /** Of the components with an external. */
  readonly forwards: Forwards;
  readonly log: Log;
  readonly report: Report;
  /** What waits for other externals is less now. */
  readonly moved: () => Promise<void>;
}

export function createConflicts({ node_id, forwards, log, report, moved }: ConflictDeps): Conflicts {
  return {
    async list({ id, limit, ...range }) {
      const [found, more] = id === undefined ? await page(forwards, { ...range, limit }) : [await one(forwards, id), false];
      const last = more ? found.at(-1) : undefined;
      const externals = EnvironmentComponentName.options.flatMap((component) => {
        const forward = forwards[component];
        return forward === undefined ? [] : [[component, nameOf(forward.external)] as const];
      });
      const elsewhere = id === undefined ? await listElsewhere(forwards) : [];
      return {
        ...{ node_id, externals: Object.fromEntries(externals), conflicts: found },
        ...(elsewhere.length === 0 ? {} : { elsewhere }),
        ...(last === undefined ? {} : { next: last.id }),
      };
    },
    async resolve(decision, decided_by) {
      const { id, keep } = decision;
      const component = componentOf(id);
      const missing = refuse('no_such_conflict', `this node has no external of ${component}, so no conflict with it`);
      const decided = (await forwards[component]?.conflicts.resolve(decision)) ?? missing;
      if ('refused' in decided) return decided;
      const message = `${component}: a conflict was ended by ${decided_by}, who keeps ${keep === 'ours' ? 'ours' : 'what the external holds'}: ${decided.message}`;
      log.info(message, { component, conflict: id });
      report({ node_id, component, action: 'resolve-conflict', status: 'applied', message: message.slice(0, 4096) });
      return { node_id, id, keep, message: decided.message, decided_by };
    },
    async move({ component, from }, decided_by) {
      const forward = forwards[component];
      const count = (await forward?.others.move(from)) ?? 0;
      if (forward !== undefined && count > 0) {
        const message = `${component}: ${count} that waited for ${from} go to ${nameOf(forward.external)}, as ${decided_by} decided`;
        log.info(message, { component });
        report({ node_id, component, action: 'move-backlog', status: 'applied', message: message.slice(0, 4096) });
        await moved();
      }
      return { node_id, component, moved: count, decided_by };
    },
  };
}

async function listElsewhere(forwards: Forwards): Promise<NonNullable<BacklogConflicts['elsewhere']>> {
  const found: NonNullable<BacklogConflicts['elsewhere']> = [];
  for (const component of EnvironmentComponentName.options)
    for (const { identity, waiting } of (await forwards[component]?.others.list()) ?? []) found.push({ component, identity, waiting });
  return found;
}

async function page(forwards: Forwards, { component, limit, after }: ConflictQuery): Promise<[BacklogConflict[], boolean]> {
  const found: BacklogConflict[] = [];
  const behind = after === undefined ? undefined : componentOf(after);
  const order = EnvironmentComponentName.options;
  for (const name of order) {
    const isAsked = component === undefined || component === name;
    if (!isAsked || (behind !== undefined && order.indexOf(name) < order.indexOf(behind))) continue;
    const rest = limit + 1 - found.length;
    if (rest > 0) found.push(...((await forwards[name]?.conflicts.list(rest, behind === name ? after : undefined)) ?? []));
  }
  return [found.slice(0, limit), found.length > limit];
}

async function one(forwards: Forwards, id: string): Promise<BacklogConflict[]> {
  const desk: ConflictDesk | undefined = forwards[componentOf(id)]?.conflicts;
  const found = await desk?.find(id);
  return found === undefined ? [] : [found];
}

function componentOf(id: string): EnvironmentComponentName {
  return EnvironmentComponentName.parse(id.slice(0, id.indexOf('-')));
}
