import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Id } from '../../shared/contract/ids.ts';
import type { Define } from './command.ts';
import { wholeNumber } from './document.ts';
import { CommandError } from './errors.ts';
import { oneLine } from './format.ts';
import { followLines, readTail } from './log-tail.ts';
import { addSettings, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane logs hello              the last 100 lines of the service hello on this machine
  bootplane logs hello -f           and then what it writes, until Ctrl-C
  bootplane logs hello -n 1000

It reads the files in the data directory, so it works when the node does not run, too.`;

/** Where the process host writes what services print: NAME.log, the older part in NAME.log.1. */
const LOG_FOLDER = 'logs';
const LOOK_EVERY_MS = 250;

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
        const tail = await readTail(path, lines);
        for (const line of tail.lines) print(line);
        if (follow !== true && tail.partial !== '') print(tail.partial);
        if (follow !== true) return;
        for await (const line of followLines(path, tail.next, LOOK_EVERY_MS, io.signal)) print(line);
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
