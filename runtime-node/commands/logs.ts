import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Id } from '../../shared/contract/ids.ts';
import type { Define } from './command.ts';
import { wholeNumber } from './document.ts';
import { CommandError } from './errors.ts';
import { oneLine } from './format.ts';
import { addSettings, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane logs hello              the last 100 lines of the service hello on this machine
  bootplane logs hello -f           and then what it writes, until Ctrl-C
  bootplane logs hello -n 1000

It reads the files in the data directory, so it works when the node does not run, too.`;

/** Where the process host writes what services print: NAME.log, older ones in NAME.log.1 and so on. */
const LOG_FOLDER = 'logs';

export const define: Define = (command, run) => {
  addSettings(command.argument('<name>', 'the service'), ['data_dir'])
    .option('-f, --follow', 'go on with what it writes')
    .option('-n, --lines <N>', 'how many of the last lines', wholeNumber, 100)
    .option('--json', 'one {"name", "line"} per line')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { follow, lines, json } = command.opts<{ follow?: boolean; lines: number; json?: boolean }>();
        const name = command.args[0] ?? '';
        const folder = join(settingsFrom(io, command).data_dir, LOG_FOLDER);
        const print = (line: string) => io.stdout.write(`${json === true ? JSON.stringify({ name, line }) : line}\n`);
        const path = await findLog(folder, name);
        for await (const line of follow === true ? io.followLog(path, lines) : io.readLog(path, lines)) print(line);
      }),
    );
};

async function findLog(folder: string, name: string): Promise<string> {
  const logs = await readdir(folder).catch((): string[] => []);
  const path = join(folder, `${name}.log`);
  // the name becomes part of a path
  if (Id.safeParse(name).success && logs.includes(`${name}.log`)) return path;
  const names = logs.filter((file) => file.endsWith('.log')).map((file) => file.slice(0, -'.log'.length));
  const hint = names.length === 0 ? 'No service has run on this node yet: `bootplane status`.' : `There is: ${names.sort().join(', ')}.`;
  throw new CommandError('file', `there is no output of a service ${oneLine(name)} in ${folder}`, hint);
}
