import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { CommandError } from './errors.ts';
import { withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { DIFF_HELP, showDiff } from './reconcile-diff.ts';

const HELP = `
Examples:
  bootplane reconcile --dry-run             what the next reconcile of this node would do
  bootplane reconcile --dry-run --json

It is \`bootplane diff\` by another name.
${DIFF_HELP}`;

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
        return showDiff(io, body, json === true);
      }),
    );
};
