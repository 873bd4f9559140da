import type { Command } from 'commander';
import { refuseUnusable, type Settings } from '../config.ts';
import type { Joined } from '../join-fleet.ts';
import type { Define } from './command.ts';
import { findLocalNode } from './connect.ts';
import { CommandError } from './errors.ts';
import { type Input, printLines } from './io.ts';
import { flagsOf } from './key.ts';
import { addSettings, flagsGiven, NODE_SETTINGS, quote, settingsFrom } from './options.ts';
import { runNode } from './up.ts';

const HELP = `
Examples:
  bootplane join bpk_…                            this machine becomes a node of the fleet with that key
  bootplane join bpk_… --fleet shops --site lab   of a fleet that has a name, at a site
  bootplane join - < key.txt                      the key from standard input: in no process list, no shell history
  bootplane join - --no-start                     only write the key; a service manager runs \`bootplane up\`

\`bootplane key show\` on a machine of the fleet prints the key and this command. All flags of \`bootplane up\` are taken.`;

/** No key is longer; what else is piped in by mistake is not read to its end. */
const LONGEST_INPUT = 8192;

export const define: Define = (command, run) => {
  addSettings(command, NODE_SETTINGS)
    .argument('<KEY>', 'the fleet key, or - to read it from standard input')
    // Else they are refused by an error that prints all of them.
    .allowExcessArguments(true)
    .option('--replace', 'also where the directory holds the key of another fleet, if nothing published is lost')
    .option('--no-start', 'write the key and do not run the node')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { replace, start } = command.opts<{ replace?: boolean; start: boolean }>();
        refuseMore(command.args);
        const settings = settingsFrom(io, command);
        refuseUnusable(settings);
        const word = command.args[0] ?? '';
        const key = (word === '-' ? await readKey(io.stdin) : word).trim();
        refuseOtherKey(settings, key);
        await refuseRunning(settings);
        const joined = await io.joinFleet({ data_dir: settings.data_dir, key, replace: replace === true });
        printLines(io, tell(settings, joined, [...flagsOf(settings), ...given(command)], start));
        return start ? runNode(io, settings) : undefined;
      }),
    );
};

/** One of the words is the key, and nobody knows which: none is printed. */
function refuseMore(words: readonly string[]): void {
  if (words.length > 1)
    throw new CommandError('usage', `too many arguments: join takes the key alone, and ${words.length} words were given`, JOIN_ALONE);
}

const JOIN_ALONE = 'Names are flags, as --fleet NAME and --site NAME; `bootplane key show` prints the whole command.';

/** The flags of this command line that the next start needs too, but those that are told anyway. */
function given(command: Command): string[] {
  return flagsGiven(
    command,
    NODE_SETTINGS.filter((name) => !['data_dir', 'fleet', 'site'].includes(name)),
  );
}

async function readKey(stdin: Input): Promise<string> {
  let text = '';
  for await (const part of stdin) {
    text += typeof part === 'string' ? part : new TextDecoder().decode(part);
    if (text.length > LONGEST_INPUT) break;
  }
  return text;
}

/** The variable would win over the file in the next start. */
function refuseOtherKey({ api_key }: Settings, key: string): void {
  if (api_key === undefined || api_key === key) return;
  throw new CommandError('config', 'BOOTPLANE_API_KEY is set to another key, which would win over this one', 'Unset it.');
}

async function refuseRunning({ data_dir }: Settings): Promise<void> {
  const node = await findLocalNode(data_dir).catch(() => undefined);
  if (node === undefined) return;
  const hint = 'Stop it first (`bootplane leave`), or give the new node a directory of its own with --data-dir.';
  throw new CommandError('refused', `process ${node.pid} runs a node on ${data_dir}: nothing was changed`, hint);
}

function tell({ data_dir }: Settings, joined: Joined, flags: readonly string[], start: boolean): string[] {
  const done = {
    written: [`the fleet key is in ${data_dir}/fleet.key`],
    same: [`${data_dir} is of this fleet already`],
    replaced: [
      `the fleet key in ${data_dir} was replaced; what the node knew of the other fleet is kept there:`,
      ...(joined.outcome === 'replaced' ? joined.kept.map((name) => `  ${name}`) : []),
    ],
  }[joined.outcome];
  const up = ['bootplane up', `--data-dir ${quote(data_dir)}`, ...flags].join(' ');
  return [...done, start ? `from now on it is started with: ${up}` : `start it with: ${up}`];
}
