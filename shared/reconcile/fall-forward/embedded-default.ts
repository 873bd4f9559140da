import type { EnvironmentProfile } from '../../contract/profile.ts';
import type { ComponentDiff } from '../../contract/reconcile.ts';
import type { EnvironmentComponent } from '../component.ts';
import type { RunDeps } from '../component-run.ts';
import { withDeadline } from '../deadline.ts';
import type { Outcome } from '../outcome.ts';
import { runActions } from '../run-actions.ts';
import type { ActionView, Desired } from '../types.ts';
import { actionName, clipMessage, describeError, listed, skippedSentence } from '../wording.ts';
import type { FallForward } from './types.ts';

/** The embedded default that stands beside an external, as the reconciler drives it. */
export interface EmbeddedDefault {
  readonly component: EnvironmentComponent;
  /** The external, for people: `s3 at http://192.0.2.9:9000`. */
  readonly external: string;
  readonly forward: Pick<FallForward<unknown>, 'status' | 'wake'>;
  /** What was said already of what it can't do. */
  told: string | undefined;
}

/** What an apply made of an embedded default. */
export interface Prepared {
  /** What failed, in words. Absent: it can take what is written. */
  readonly trouble?: string;
  /** What it can't do and the external may. */
  readonly skipped: readonly ActionView[];
}

/** Brings it to the profile. Silent where all goes well: how the component stands is how the external stands. Never rejects. */
export async function prepareDefault(deps: RunDeps, embedded: EmbeddedDefault, { body }: Desired<EnvironmentProfile>): Promise<Prepared> {
  const { component } = embedded;
  try {
    const actions = await withDeadline(deps.clock, deps.call_limit_ms, () => component.plan(body));
    const executable = actions.filter(({ execute }) => execute !== undefined);
    const { concurrency = 1 } = component;
    const results = await runActions(executable, { ...deps, concurrency, done: () => undefined });
    const skipped = [...actions, ...results].flatMap(({ view, ...ended }) =>
      'outcome' in ended ? (ended.outcome === 'incompatible' ? [view] : []) : ended.execute === undefined ? [view] : [],
    );
    sayOnce(deps, embedded, skipped);
    const failed = results.filter(({ outcome }) => outcome === 'failed');
    if (failed.length === 0) return { skipped };
    return { skipped, trouble: listed(failed.map(({ view, message }) => `${actionName(view)}: ${message ?? ''}`)) };
  } catch (error) {
    return { skipped: [], trouble: describeError(error) };
  }
}

/** No fault of the component: the external may do all of it. */
function sayOnce({ log }: RunDeps, embedded: EmbeddedDefault, skipped: readonly ActionView[]): void {
  const said = skippedSentence(skipped);
  if (said !== undefined && said !== embedded.told)
    log.info(
      `${embedded.component.component}: while ${embedded.external} is away, the embedded default can't stand in for all of it: ${said}`,
    );
  embedded.told = said;
}

/** How the component stands while the external does not answer. */
export function standsIn({ component, external }: EmbeddedDefault, { trouble, skipped }: Prepared, reason: string): Outcome {
  const away = `${external} is away: ${reason}`;
  if (trouble !== undefined)
    return { status: 'failed', message: clipMessage(`${away}. ${troubleOf(component.backend, trouble)}`), incompatible: [] };
  const sentences = [
    away,
    `The embedded default (${component.backend}) takes what is written and keeps it until then`,
    skippedSentence(skipped),
  ].filter((sentence) => sentence !== undefined);
  return { status: 'pending', message: clipMessage(sentences.join('. ')), incompatible: [] };
}

/** An outcome of the external, with what is wrong with the embedded default beside it. */
export function besides(outcome: Outcome, { component }: EmbeddedDefault, { trouble }: Prepared): Outcome {
  if (trouble === undefined) return outcome;
  const sentences = [...(outcome.message === undefined ? [] : [outcome.message]), troubleOf(component.backend, trouble)];
  return { ...outcome, message: clipMessage(sentences.join('. ')) };
}

function troubleOf(backend: string, trouble: string): string {
  return `The embedded default (${backend}) could not be prepared to stand in: ${trouble}`;
}

/** What an apply would do to it. */
export async function diffDefault(
  { clock, call_limit_ms }: Pick<RunDeps, 'clock' | 'call_limit_ms'>,
  { component: { backend, plan } }: EmbeddedDefault,
  body: EnvironmentProfile,
): Promise<NonNullable<ComponentDiff['embedded']>> {
  try {
    const planned = await withDeadline(clock, call_limit_ms, () => plan(body));
    return { backend, actions: planned.map(({ view }) => view) };
  } catch (error) {
    return { backend, actions: [], failed: describeError(error) };
  }
}
