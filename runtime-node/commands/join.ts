import type { Command } from 'commander';
import { fleetOfKey } from '../../shared/contract/fleet-keys.ts';
import { refuseUnusable, type Settings } from '../config.ts';
import { checkFleetKey, FleetKeyError } from '../fleet-key.ts';
import type { Joined } from '../join-fleet.ts';
import type { JoinedMember } from '../join-member.ts';
import type { Define } from './command.ts';
import { findLocalNode } from './connect.ts';
import { CommandError } from './errors.ts';
import { oneLine } from './format.ts';
import { type Input, type Io, printLines } from './io.ts';
import { flagsOf } from './key.ts';
import { addSettings, flagsGiven, NODE_SETTINGS, quote, settingsFrom } from './options.ts';
import { runNode } from './up.ts';

const HELP = `
Examples:
  bootplane join bpk_…                            this machine becomes a node of the fleet with that key
  bootplane join bpk_… --fleet shops --site lab   of a fleet that has a name, at a site
  bootplane join - < key.txt                      the key from standard input: in no process list, no shell history
  bootplane join - --no-start                     only write the key; a service manager runs \`bootplane up\`
  bootplane join - --replace < new.key            after \`bootplane fleet rotate\`: the new key of the same fleet
  bootplane join bpi~… --cloud-url URL            without the fleet key, by a join key (\`bootplane keys create join\`)
  bootplane join bpi~… --peers https://a:7420     the same, from the leader of a site without a cloud
  BOOTPLANE_TOKEN_FILE=node.jwt bootplane join --cloud-url URL   the same, by the node's own JWT

\`bootplane key show\` on a machine of the fleet prints the key and this command. All flags of \`bootplane up\` are taken.
A key as bpk~NAME~… says its fleet itself. A new key of the fleet that the directory is of takes nothing away: the node
is started again as it was, and goes on with what it ran, also while it reaches nobody.`;

/** No key is longer; what else is piped in by mistake is not read to its end. */
const LONGEST_INPUT = 8192;

export const define: Define = (command, run) => {
  addSettings(command, NODE_SETTINGS)
    .argument('[KEY]', 'the fleet key or an issued key, or - to read it from standard input; none with BOOTPLANE_TOKEN_FILE')
    // Else they are refused by an error that prints all of them.
    .allowExcessArguments(true)
    .option(
      '--replace',
      'also where the directory holds another key: an older one of this fleet, or one of another, if nothing published is lost',
    )
    .option('--same-fleet', 'the key is a new one of the fleet of the directory, though it does not name it')
    .option('--no-start', 'write the key and do not run the node')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { replace = false, sameFleet: same_fleet = false, start } = command.opts<Flags>();
        refuseMore(command.args);
        const given = settingsFrom(io, command);
        refuseUnusable(given);
        const word = command.args[0] ?? '';
        if (word === '') refuseNothing(given);
        const key = (word === '-' ? await readKey(io.stdin) : word).trim();
        if (word !== '') refuseNoKey(key);
        const settings = inNamedFleet(given, key, isFleetSet(io, command));
        refuseOtherKey(settings, key);
        await refuseRunning(settings);
        if (word === '' || key.startsWith('bpi~')) {
          const member = await io.joinAsMember({ settings, ...(word === '' ? {} : { key }) });
          printLines(io, tellMember(settings, member, flagsOfStart(command), start));
          return start ? runNode(io, settings) : undefined;
        }
        const joined = await io.joinFleet({ data_dir: settings.data_dir, key, replace, same_fleet });
        if (joined.outcome === 'rotated') {
          printLines(io, tellRotated(settings, joined));
          return undefined;
        }
        printLines(io, tell(settings, joined, [...flagsOf(settings), ...flagsOfStart(command)], start));
        return start ? runNode(io, settings) : undefined;
      }),
    );
};

interface Flags {
  readonly replace?: boolean;
  readonly sameFleet?: boolean;
  readonly start: boolean;
}

function isFleetSet({ env }: Io, command: Command): boolean {
  return (env.BOOTPLANE_FLEET ?? '') !== '' || command.opts().fleet !== undefined;
}

/** A key that names its fleet says it for a node that was told of none. */
function inNamedFleet(settings: Settings, key: string, isSet: boolean): Settings {
  const fleet = fleetOfKey(key);
  if (fleet === undefined || fleet === settings.fleet) return settings;
  if (!isSet) return { ...settings, fleet };
  const what = `the key is of the fleet ${oneLine(fleet)}, and this node is set to ${settings.fleet}`;
  throw new CommandError('config', what, 'Leave out --fleet and BOOTPLANE_FLEET: the key says it.');
}

/** One of the words is the key, and nobody knows which: none is printed. */
function refuseMore(words: readonly string[]): void {
  if (words.length > 1)
    throw new CommandError('usage', `too many arguments: join takes the key alone, and ${words.length} words were given`, JOIN_ALONE);
}

const JOIN_ALONE = 'Names are flags, as --fleet NAME and --site NAME; `bootplane key show` prints the whole command.';

/** Before anything is looked at or written: what is no key is a word that was mistyped. */
function refuseNoKey(key: string): void {
  if (key.startsWith('bpi~')) return;
  try {
    checkFleetKey(key);
  } catch (error) {
    throw error instanceof FleetKeyError ? new CommandError('usage', error.message) : error;
  }
}

/** A JWT stands in its file: nothing else has to be said. */
function refuseNothing({ token_file }: Settings): void {
  if (token_file !== undefined) return;
  throw new CommandError('usage', 'missing argument: the key of the fleet or an issued key', JOIN_ALONE);
}

/** The flags of this command line that the next start needs too, but those that are told anyway. */
function flagsOfStart(command: Command): string[] {
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
  const hint =
    'Stop it first, for a new key of its fleet as it is always stopped, and with `bootplane leave` before it joins another fleet; or give the new node a directory of its own with --data-dir.';
  throw new CommandError('refused', `process ${node.pid} runs a node on ${data_dir}: nothing was changed`, hint);
}

function tellRotated({ data_dir }: Settings, { fleet, kept }: Extract<Joined, { outcome: 'rotated' }>): string[] {
  return [
    `${data_dir} has the new key of the fleet ${fleet}; what it knows of the fleet stays`,
    ...kept.map((name) => `the old key is kept as ${name}: remove it when the node works with the new one`),
    'start the node again as it was started before',
  ];
}

function tell({ data_dir }: Settings, joined: Exclude<Joined, { outcome: 'rotated' }>, flags: readonly string[], start: boolean): string[] {
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

function tellMember({ data_dir, site }: Settings, member: JoinedMember, flags: readonly string[], start: boolean): string[] {
  // A key for one site names it, and so does the file.
  const place = member.site === undefined ? flagsOf({ fleet: 'default', site }) : [];
  const up = ['bootplane up', `--data-dir ${quote(data_dir)}`, ...place, ...flags].join(' ');
  return [
    `this is node ${member.node_id} of fleet ${member.fleet}, without the fleet key: what ${member.joined_at} gave it is in ${data_dir}/member.json`,
    start ? `from now on it is started with: ${up}` : `start it with: ${up}`,
  ];
}
