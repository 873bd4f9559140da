import { sha256Hex } from '../../contract/canonical.ts';
import type { EnvironmentProfile } from '../../contract/profile.ts';
import type { PruneComponent } from '../../contract/prune.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Ownership } from '../../ports/ownership.ts';
import { withDeadline } from '../deadline.ts';
import type { PartDeps } from '../part.ts';
import type { Desired } from '../types.ts';
import { describeError } from '../wording.ts';
import { type Findings, type FormerNames, type PrunePlace, type Removal, textOf } from './types.ts';

export interface SurveyDeps extends Pick<PartDeps, 'reconciledBy'> {
  readonly node_id: string;
  readonly clock: Clock;
  readonly ownership: Ownership;
  readonly made_by: string;
  /** Milliseconds that the look at one backend may take. */
  readonly call_limit_ms: number;
}

/** One backend, as it was found. */
export interface Surveyed {
  readonly place: PrunePlace;
  readonly component: PruneComponent;
  readonly removals: readonly Removal[];
}

export interface Survey {
  readonly parts: readonly Surveyed[];
  /** Names exactly what was found; see `hashOf`. */
  readonly hash: string;
}

/** Looks at all backends. Changes nothing on them; notes of things that are not there any more are dropped. */
export async function takeSurvey(
  deps: SurveyDeps,
  places: readonly PrunePlace[],
  desired: Desired<EnvironmentProfile>,
  former: FormerNames,
): Promise<Survey> {
  const parts: Surveyed[] = [];
  for (const place of places) parts.push(await surveyPlace(deps, place, desired.body, former));
  return { parts, hash: await hashOf(deps.node_id, desired, parts) };
}

async function surveyPlace(deps: SurveyDeps, place: PrunePlace, profile: EnvironmentProfile, former: FormerNames): Promise<Surveyed> {
  const about = { component: place.name.component, backend: place.backend, identity: place.name.identity };
  const none = { ...about, actions: [], kept: [] };
  const closed = whyClosed(deps, place);
  if (closed !== undefined) return { place, component: { ...none, ...closed }, removals: [] };
  try {
    const findings = await withDeadline(deps.clock, deps.call_limit_ms, () => look(deps, place, profile, former));
    const { removals, kept } = findings;
    return { place, component: { ...about, actions: removals.map(({ view }) => view), kept }, removals };
  } catch (error) {
    return { place, component: { ...none, failed: describeError(error) }, removals: [] };
  }
}

/** Why nothing may be removed there, now: as in a PruneComponent. */
export function whyClosed(
  { reconciledBy }: Pick<SurveyDeps, 'reconciledBy'>,
  { name, is_shared, backlog }: PrunePlace,
): Pick<PruneComponent, 'closed' | 'reconciled_by'> | undefined {
  const reconciled_by = is_shared ? reconciledBy?.(name.component, name.identity) : undefined;
  if (reconciled_by !== undefined) return { reconciled_by };
  const waits = backlog?.();
  if (waits === undefined) return undefined;
  const { presence, reason = 'it does not answer', waiting, conflicts } = waits;
  if (presence === 'away') return { closed: `the external is away: ${reason}` };
  if (waiting > 0) return { closed: `${waiting} that were written while the external was away wait to go there` };
  if (presence === 'forwarding') return { closed: 'what was written while the external was away goes over now' };
  // What lies in a conflict is nowhere but here.
  if (conflicts > 0)
    return {
      closed: `${conflicts} that were written while the external was away conflict with what it has: \`bootplane backlog\` shows and ends that`,
    };
  return undefined;
}

async function look(
  { ownership, made_by }: SurveyDeps,
  { name, find }: PrunePlace,
  profile: EnvironmentProfile,
  former: FormerNames,
): Promise<Findings> {
  const findings = await find(profile, { made_by, owned: await ownership.list(name), former });
  // Whatever comes to be there under the name later is somebody else's.
  if (findings.gone.length > 0) await ownership.forget(name, findings.gone);
  return findings;
}

/**
 * SHA-256 over the canonical JSON of what is approved: this node, the profile, every backend with its identity and
 * whether it could be looked at, and every action as it is shown. Of the evidence only whether a thing is empty, and used: a
 * queue that was approved as empty must not go when messages have come, and one in which messages come all the time
 * would never hold its hash.
 */
async function hashOf(node_id: string, { generation, hash }: Desired<unknown>, parts: readonly Surveyed[]): Promise<string> {
  const backends = parts.map(({ component: { component, backend, identity, actions, failed, closed, reconciled_by } }) => ({
    component,
    backend,
    identity,
    is_open: failed === undefined && closed === undefined && reconciled_by === undefined,
    actions: actions.map(({ kind, subject, before, after, evidence }) => ({
      kind,
      subject,
      before,
      after,
      empty: evidence.empty,
      used: evidence.used,
    })),
  }));
  return sha256Hex(textOf({ purpose: 'prune', node_id, generation, profile: hash, backends }));
}
