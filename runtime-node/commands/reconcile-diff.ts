import type { ActionView, ComponentDiff, ReconcileDiff } from '../../shared/contract/reconcile.ts';
import { EXIT_CODES } from './errors.ts';
import { colorState, formatValue, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines } from './io.ts';

/** What every command that shows such a diff says of it. */
export const DIFF_HELP = `
add and update run by themselves. incompatible is shown and skipped. destroy never runs by itself.
What several nodes share is reconciled by the site's leader alone: ask there what it would do to it.
It exits with 0 when there is nothing to do here, with 2 when there is.`;

/** Prints what a node would do. The exit code says whether that is anything. */
export function showDiff(io: Io, diff: ReconcileDiff, json: boolean): number {
  if (json) printJson(io, diff);
  else printLines(io, formatDiff(io, diff));
  const parts = diff.components.flatMap((one) => [one, one.embedded ?? []].flat());
  if (parts.some(({ failed }) => failed !== undefined)) return EXIT_CODES.failed;
  const differs = parts.some(({ actions }) => actions.length > 0) || diff.components.some(({ undecided = [] }) => undecided.length > 0);
  return differs ? EXIT_CODES.differs : EXIT_CODES.ok;
}

/** What a node would do, for people: each component with its backend, its actions and those that are skipped. */
export function formatDiff(io: Io, { components }: ReconcileDiff): string[] {
  return components.flatMap((diff) => {
    const { component, embedded, undecided = [] } = diff;
    return [
      ...formatBackend(io, component, diff),
      ...(embedded === undefined ? [] : formatBackend(io, `${component}, while that is away`, embedded)),
      ...undecided.map((name) => `  service ${oneLine(name)}: whether it runs here is for the leader of the site to tell; ask that node`),
    ];
  });
}

type Backend = Pick<ComponentDiff, 'backend' | 'actions' | 'failed' | 'reconciled_by'>;

function formatBackend(io: Io, name: string, { backend, actions, failed, reconciled_by }: Backend): string[] {
  const colors = colorsFor(io);
  const head = `${colors.bold(name)} (${oneLine(backend)})`;
  if (failed !== undefined) return [`${head}: ${colors.red(`its actual state can't be read: ${oneLine(failed)}`)}`];
  if (reconciled_by !== undefined) return [`${head}: left to node ${oneLine(reconciled_by)}, which leads the site and reconciles it`];
  if (actions.length === 0) return [`${head}: nothing to do`];
  return [`${head}:`, ...actions.flatMap((action) => formatAction(io, action))];
}

/** Of what is skipped its backend says what to do; where it does not, this does. */
const SKIPPED: Partial<Record<ActionView['safety'], string>> = {
  incompatible: 'it can not be changed as it stands; make it anew under another name, or take it out of the profile',
  destroy: 'it would remove data or shorten its life',
};

/** One action, without what becomes of it. */
export function formatChange(io: Io, { kind, safety, subject, before, after }: ActionView): string[] {
  const colors = colorsFor(io);
  const lines = [`  ${colorState(colors, safety)}  ${oneLine(subject)}  ${colors.dim(oneLine(kind))}`];
  if (before !== undefined) lines.push(colors.red(`      - ${formatValue(before)}`));
  if (after !== undefined) lines.push(colors.green(`      + ${formatValue(after)}`));
  return lines;
}

function formatAction(io: Io, action: ActionView): string[] {
  const { safety, detail } = action;
  const lines = formatChange(io, action);
  const skipped = SKIPPED[safety];
  if (skipped !== undefined) lines.push(`      skipped: ${oneLine(detail ?? skipped)}`);
  else if (detail !== undefined) lines.push(`      ${oneLine(detail)}`);
  return lines;
}
