import type { ActionView, ReconcileDiff } from '../../shared/contract/reconcile.ts';
import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { CommandError, EXIT_CODES } from './errors.ts';
import { colorState, formatValue, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane reconcile --dry-run             what the next reconcile of this node would do
  bootplane reconcile --dry-run --json

add and update run by themselves. incompatible is shown and skipped. destroy never runs by itself.
What several nodes share is reconciled by the site's leader alone: ask there what it would do to it.
It exits with 0 when there is nothing to do here, with 2 when there is.`;

export const define: Define = (command, run) => {
  addSettings(command, CLIENT_SETTINGS)
    .option('--dry-run', 'only show it; needed, since nodes reconcile by themselves')
    .option('--json', 'print the answer')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { dryRun, json } = command.opts<{ dryRun?: boolean; json?: boolean }>();
        if (dryRun !== true) {
          throw new CommandError('usage', 'a node reconciles by itself, all the time', 'Add --dry-run to see what it would do next.');
        }
        const client = await connect(io, settingsFrom(io, command));
        const { body } = await withProgress(io, 'comparing desired and actual', client.reconcileDiff());
        if (json === true) printJson(io, body);
        else printLines(io, formatDiff(io, body));
        return exitCodeOf(body);
      }),
    );
};

function exitCodeOf({ components }: ReconcileDiff): number {
  if (components.some(({ failed }) => failed !== undefined)) return EXIT_CODES.failed;
  return components.some(({ actions }) => actions.length > 0) ? EXIT_CODES.differs : EXIT_CODES.ok;
}

function formatDiff(io: Io, { components }: ReconcileDiff): string[] {
  const colors = colorsFor(io);
  return components.flatMap(({ component, backend, actions, failed, reconciled_by }) => {
    const head = `${colors.bold(component)} (${oneLine(backend)})`;
    if (failed !== undefined) return [`${head}: ${colors.red(`its actual state can't be read: ${oneLine(failed)}`)}`];
    if (reconciled_by !== undefined) return [`${head}: left to node ${oneLine(reconciled_by)}, which leads the site and reconciles it`];
    if (actions.length === 0) return [`${head}: nothing to do`];
    return [`${head}:`, ...actions.flatMap((action) => formatAction(io, action))];
  });
}

function formatAction(io: Io, { kind, safety, subject, before, after, detail }: ActionView): string[] {
  const colors = colorsFor(io);
  const lines = [`  ${colorState(colors, safety)}  ${oneLine(subject)}  ${colors.dim(oneLine(kind))}`];
  if (before !== undefined) lines.push(colors.red(`      - ${formatValue(before)}`));
  if (after !== undefined) lines.push(colors.green(`      + ${formatValue(after)}`));
  if (detail !== undefined) lines.push(`      ${oneLine(detail)}`);
  return lines;
}
