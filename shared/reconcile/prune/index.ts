import type { EnvironmentProfile } from '../../contract/profile.ts';
import type { PruneAnswer, PrunePreview, PruneRefusalCode, PruneRequest } from '../../contract/prune.ts';
import type { RunDeps } from '../component-run.ts';
import type { InTurn } from '../turns.ts';
import type { Desired } from '../types.ts';
import { createApprovals } from './approvals.ts';
import { type ExecuteDeps, execute } from './execute.ts';
import { type PruneBackends, placesOf } from './places.ts';
import { type Survey, type SurveyDeps, takeSurvey, whyClosed } from './survey.ts';
import type { FormerNames } from './types.ts';

export type { FormerNames } from './types.ts';

/** What a node knows of what the fleet wants, and how sure it is of that. */
export interface Intent {
  /** The verified profile that is held; undefined while none is. */
  profile(): Desired<EnvironmentProfile> | undefined;
  /** Why nothing may be removed by it, in words, as far as that is known without asking anybody. Empty: it may. */
  doubts(): string[];
  /** The same, after everybody in reach was asked for a newer profile. */
  ask(): Promise<string[]>;
  /** What earlier profiles have named. */
  former(): Promise<FormerNames>;
}

export interface PruneDeps
  extends Omit<RunDeps, 'call_limit_ms'>,
    Pick<SurveyDeps, 'reconciledBy' | 'ownership' | 'made_by'>,
    PruneBackends {
  readonly intent: Intent;
  /** The turns of the reconciler: an apply would put back what goes here. */
  readonly inTurn: InTurn;
  /** Milliseconds that one look and one removal may take. Default 60000 and 300000. */
  readonly call_limit_ms?: number;
  readonly removal_limit_ms?: number;
}

/** Removes what bootplane made and the profile no longer names, when a person has approved exactly that. */
export interface Prune {
  /** What could be removed, with evidence, and the hash that approves exactly this. Changes nothing. */
  preview(): Promise<PrunePreview>;
  /** Removes it, if a fresh look still finds just what the hash names. `approved_by` names the credential, for log and events. */
  run(request: PruneRequest, approved_by: string): Promise<PruneAnswer>;
}

const CALL_LIMIT_MS = 60_000;
/** A bucket with what is in it takes its time. */
const REMOVAL_LIMIT_MS = 300_000;

export function createPrune(given: PruneDeps): Prune {
  const deps = { ...given, call_limit_ms: given.call_limit_ms ?? CALL_LIMIT_MS };
  const places = placesOf(given);
  const approvals = createApprovals(given.clock);
  const survey = async (desired: Desired<EnvironmentProfile>) => takeSurvey(deps, places, desired, await deps.intent.former());
  return {
    async preview() {
      const { node_id, intent } = deps;
      const refused = await intent.ask();
      const desired = intent.profile();
      if (desired === undefined) return { node_id, refused: [...new Set([NO_PROFILE, ...refused])], components: [] };
      const { parts, hash } = await survey(desired);
      const all = [...refused, ...whyNothing(desired.body)];
      const isOpen = all.length === 0 && parts.some(({ removals }) => removals.length > 0);
      const approval = isOpen ? { hash, expires_in_seconds: approvals.offer(hash) } : {};
      const components = parts.map(({ component }) => component);
      return { node_id, generation: desired.generation, profile_hash: desired.hash, ...approval, refused: all, components };
    },
    run: (request, approved_by) => deps.inTurn(() => run({ deps, approvals, survey }, request, approved_by)),
  };
}

const NO_PROFILE = 'this node holds no Environment Profile, so nobody can tell what is no longer wanted';

/** A document without anything in it asks for nothing, least of all for the removal of everything. */
function whyNothing({ storage, broker, vector }: EnvironmentProfile): string[] {
  const named = [storage.buckets, broker.exchanges, broker.queues, broker.bindings, vector.classes];
  return named.every((list) => list.length === 0) ? ['the Environment Profile names nothing at all, and that removes nothing'] : [];
}

interface Running {
  readonly deps: PruneDeps & SurveyDeps;
  readonly approvals: ReturnType<typeof createApprovals>;
  survey(desired: Desired<EnvironmentProfile>): Promise<Survey>;
}

async function run(
  { deps, approvals, survey }: Running,
  { hash, include_non_empty = false }: PruneRequest,
  approved_by: string,
): Promise<PruneAnswer> {
  const { node_id, intent, log } = deps;
  const fresh = approvals.whyNot(hash);
  if (fresh !== undefined) return refuse('prune_expired', fresh);
  const doubts = await intent.ask();
  const desired = intent.profile();
  if (desired === undefined) return refuse('prune_refused', NO_PROFILE);
  const why = [...doubts, ...whyNothing(desired.body)];
  if (why.length > 0) return refuse('prune_refused', why.join('; '));
  const now = await survey(desired);
  if (now.hash !== hash) return refuse('prune_changed', describeChange(now));
  approvals.take(hash);
  const { generation } = desired;
  log.warn('prune: what was approved is removed now', { approved_by, hash, generation, profile_hash: desired.hash, include_non_empty });
  const results = await execute(executeDeps(deps, desired), now, desired, { approved_by, include_non_empty });
  const count = (outcome: string) => results.filter((one) => one.outcome === outcome).length;
  const counts = { applied: count('applied'), kept: count('kept'), failed: count('failed'), not_tried: count('not_tried') };
  log.warn('prune: ended', { approved_by, hash, generation, ...counts });
  return { node_id, generation, hash, approved_by, results };
}

/** Before each action it is asked again whether what was approved still holds. */
function executeDeps(deps: Running['deps'], { generation, hash }: Desired<unknown>): ExecuteDeps {
  const { intent, removal_limit_ms = REMOVAL_LIMIT_MS } = deps;
  return {
    ...deps,
    call_limit_ms: removal_limit_ms,
    whyNot: ({ place }) => {
      const [doubt] = intent.doubts();
      if (doubt !== undefined) return doubt;
      const held = intent.profile();
      if (held?.generation !== generation || held.hash !== hash) return 'another profile has come since it was approved';
      const closed = whyClosed(deps, place);
      return closed?.closed ?? (closed === undefined ? undefined : `${closed.reconciled_by} reconciles it now`);
    },
  };
}

function describeChange({ parts }: Survey): string {
  const count = parts.reduce((sum, { removals }) => sum + removals.length, 0);
  const what =
    count === 0 ? 'there is nothing to remove any more' : `${count} would be removed now, and not exactly those that were approved`;
  return `nothing was removed: ${what}; look at it again and approve that`;
}

function refuse(code: PruneRefusalCode, detail: string): PruneAnswer {
  return { refused: { code, detail } };
}
