import type { Command } from 'commander';
import type { CreatedFleet, FleetRecord } from '../../shared/contract/fleet.ts';
import { createIdentityClient, type IdentityClient } from '../../shared/identity-client.ts';
import type { Settings } from '../config.ts';
import type { Define, Runner } from './command.ts';
import { findCredential, refuseOpenWire, withDeadline } from './connect.ts';
import { parseDuration } from './duration.ts';
import { CommandError } from './errors.ts';
import { formatAge, oneLine } from './format.ts';
import { type Io, printJson, printLines } from './io.ts';
import { addSettings, CLIENT_SETTINGS, quote, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane fleet list --url https://control.example
  bootplane fleet create shops --url https://control.example
  bootplane fleet create shops --given < fleet.key     a fleet that has a key already
  bootplane fleet rotate shops --overlap 14d           a new fleet key; the old one holds beside it
  bootplane fleet rotate shops --overlap 0s            one that others have seen: it ends now
  bootplane fleet close shops

Fleets are made at a cloud, with its admin key in BOOTPLANE_ADMIN_KEY. The cloud is --url, else BOOTPLANE_CLOUD_URL.
rotate also works with the fleet key itself.`;

export const define: Define = (command, run) => {
  command.addHelpText('after', HELP);
  defineList(command, run);
  defineCreate(command, run);
  defineRotate(command, run);
  defineClose(command, run);
};

function defineList(command: Command, run: Runner): void {
  withTarget(command.command('list').description('the fleets of the cloud'))
    .option('--json', 'print all pages of the answer as one')
    .action(
      run(async (io, called) => {
        const client = asAdmin(io, settingsFrom(io, called));
        const fleets: FleetRecord[] = [];
        for (let page = await client.fleets(); ; page = await client.fleets(page.next)) {
          fleets.push(...page.fleets);
          if (page.next === undefined) break;
        }
        if (called.opts().json === true) printJson(io, { fleets });
        else printLines(io, formatFleets(io, fleets));
      }),
    );
}

function defineCreate(command: Command, run: Runner): void {
  withOutput(withTarget(command.command('create <name>').description('makes a fleet, and its key')))
    .option('--given', 'take the fleet key from standard input instead of making one')
    .action(
      run(async (io, called) => {
        const client = asAdmin(io, settingsFrom(io, called));
        const fleet = called.args[0] ?? '';
        const key = called.opts().given === true ? await readKey(io) : undefined;
        const created = await client.createFleet({ fleet, ...(key === undefined ? {} : { key }) });
        tell(io, called, created, [
          `the fleet ${created.fleet} is made`,
          ...(created.key === undefined ? [] : ONCE),
          'A machine joins it with the key in BOOTPLANE_API_KEY, and',
          `  bootplane up --fleet ${quote(created.fleet)} --cloud-url ${client.url}`,
        ]);
      }),
    );
}

/** Nodes that joined without the fleet key ask for the new keys once a day, and a try may fail. */
const MEMBERS_NEED_SECONDS = 2 * 86_400;
const MEMBERS_LEFT = [
  'Nodes that joined without the fleet key ask for what is new once a day: with an overlap below 2d some may have to join again, with a join key.',
];

function defineRotate(command: Command, run: Runner): void {
  withOutput(withTarget(command.command('rotate <name>').description('replaces the fleet key')))
    .option('--overlap <DURATION>', 'how long the old key holds beside the new one (7d): 14d, 12h, 0s')
    .option('--given', 'take the new key from standard input instead of making one')
    .option('--force', 'also while the key before the old one still holds: that one ends now')
    .action(
      run(async (io, called) => {
        const fleet = called.args[0] ?? '';
        const { overlap, force, given } = called.opts<{ overlap?: string; force?: boolean; given?: boolean }>();
        const body = {
          ...(overlap === undefined ? {} : { overlap_seconds: parseDuration('--overlap', overlap) }),
          ...(force === true ? { force } : {}),
        };
        const client = await inFleet(io, settingsFrom(io, called), fleet);
        const key = given === true ? await readKey(io) : undefined;
        const rotated = await client.rotateFleet(fleet, { ...body, ...(key === undefined ? {} : { key }) });
        const until = rotated.replaces_until;
        tell(io, called, rotated, [
          until === undefined
            ? `the key of ${fleet} is replaced; the old one holds no more`
            : `the key of ${fleet} is replaced; the old one holds until ${until}`,
          ...(rotated.key === undefined ? [] : ONCE),
          'Machines that have the old one need the new one by then. Until they have it they take no new documents; what runs there goes on.',
          'On each: stop the node, `bootplane join - --replace < KEYFILE` (or the new key in BOOTPLANE_API_KEY), start it as before.',
          ...((body.overlap_seconds ?? Number.POSITIVE_INFINITY) < MEMBERS_NEED_SECONDS ? MEMBERS_LEFT : []),
        ]);
      }),
    );
}

function defineClose(command: Command, run: Runner): void {
  withTarget(
    command.command('close <name>').description('ends all credentials of a fleet; its rows stay, and its nodes go on with what they run'),
  )
    .option('--yes', 'do not ask')
    .option('--json', 'print the answer')
    .action(
      run(async (io, called) => {
        const fleet = called.args[0] ?? '';
        const { yes, json } = called.opts<{ yes?: boolean; json?: boolean }>();
        const client = asAdmin(io, settingsFrom(io, called));
        if (yes !== true) await confirm(io, fleet);
        const closed = await client.closeFleet(fleet);
        if (json === true) printJson(io, closed);
        else printLines(io, [`the fleet ${closed.fleet} is closed; other isolates of the cloud know that within a minute`]);
      }),
    );
}

/** A fleet can't be opened again: its name is typed once more. */
async function confirm(io: Io, fleet: string): Promise<void> {
  if (io.ask === undefined) throw new CommandError('usage', 'closing a fleet needs --yes where nobody can be asked');
  const answer = await io.ask(`Closing ${oneLine(fleet)} ends all of its credentials for good. Type its name to go on: `);
  if (answer.trim() !== fleet) throw new CommandError('declined', 'nothing was closed');
}

const ONCE = ['Its key is the line above; this is the only time that it is shown.'];

function tell(io: Io, called: Command, { key, ...record }: CreatedFleet, lines: readonly string[]): void {
  const { quiet, json } = called.opts<{ quiet?: boolean; json?: boolean }>();
  if (json === true) printJson(io, { ...record, ...(key === undefined ? {} : { key }) });
  else printLines(io, [...(key === undefined ? [] : [key]), ...(quiet === true ? [] : [...(key === undefined ? [] : ['']), ...lines])]);
}

function withTarget(command: Command): Command {
  return addSettings(command.allowExcessArguments(false), CLIENT_SETTINGS);
}

function withOutput(command: Command): Command {
  return command.option('-q, --quiet', 'print the key and nothing else').option('--json', 'print the answer, with the key');
}

function asAdmin(io: Io, settings: Settings): IdentityClient {
  const { admin_key } = settings;
  if (admin_key !== undefined) return createIdentityClient(optionsOf(io, settings, admin_key));
  throw new CommandError('config', 'no admin key: BOOTPLANE_ADMIN_KEY is not set', 'Set it to the secret of that name of the cloud.');
}

/** The admin names the fleet; the fleet key is of it. */
async function inFleet(io: Io, settings: Settings, fleet: string): Promise<IdentityClient> {
  const { admin_key } = settings;
  return createIdentityClient(optionsOf(io, settings, admin_key ?? (await findCredential(settings))), fleet);
}

function optionsOf(io: Io, { url, cloud_url }: Settings, credential: string) {
  const target = url ?? cloud_url;
  if (target === undefined) {
    throw new CommandError('config', 'no cloud: neither --url nor BOOTPLANE_CLOUD_URL is set', 'Name the cloud that the fleets are of.');
  }
  refuseOpenWire(target);
  return { url: target, credential, fetch: withDeadline(io.signal) };
}

/** No key is longer; what else is piped in by mistake is not read to its end. */
const LONGEST_INPUT = 8192;

async function readKey(io: Io): Promise<string> {
  let text = '';
  for await (const part of io.stdin) {
    text += typeof part === 'string' ? part : new TextDecoder().decode(part);
    if (text.length > LONGEST_INPUT) break;
  }
  return text.trim();
}

function formatFleets(io: Io, fleets: readonly FleetRecord[]): string[] {
  if (fleets.length === 0) return ['no fleet was made here; the one of the settings of the cloud is not listed'];
  const rows = fleets.map(({ fleet, created_at, key_id, replaces_until, closed_at }) => [
    fleet,
    closed_at === undefined ? 'open' : `closed ${formatAge(io, closed_at)}`,
    formatAge(io, created_at),
    key_id,
    replaces_until === undefined ? '-' : `until ${replaces_until}`,
  ]);
  return formatTable(['FLEET', 'STATE', 'CREATED', 'DOCUMENT KEY', 'OLD KEY HOLDS'], rows);
}
