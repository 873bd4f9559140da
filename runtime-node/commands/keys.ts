import type { Command } from 'commander';
import { type CreatedKey, CreateKeyRequest, type IssuedKey, KeyScope } from '../../shared/contract/key.ts';
import { createIdentityClient, type IdentityClient } from '../../shared/identity-client.ts';
import type { Settings } from '../config.ts';
import type { Define, Runner } from './command.ts';
import { findCredential, findLocalNode, refuseOpenWire, withDeadline } from './connect.ts';
import { parseDuration, parseWhole } from './duration.ts';
import { CommandError } from './errors.ts';
import { colorState, formatAge, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane keys list
  bootplane keys create viewer --label dashboard --expires 90d
  bootplane keys create join --for-site berlin --max-uses 20 --expires 2h
  bootplane keys create node --node camera-7
  bootplane keys revoke 1f0c2d3e4a5b6c7d

viewer reads. operator does everything but replacing the fleet key. node acts as one node. join lets new nodes in,
for a day if nothing else is said. A key is shown once and kept as a hash. Revoked, it ends at once where that
is answered, and everywhere within a minute.`;

export const define: Define = (command, run) => {
  command.addHelpText('after', HELP);
  defineList(command, run);
  defineCreate(command, run);
  defineRevoke(command, run);
};

function defineList(command: Command, run: Runner): void {
  withTarget(command.command('list').description('the keys that were issued, without the keys themselves'))
    .option('--json', 'print all pages of the answer as one')
    .action(
      run(async (io, called) => {
        const client = await connect(io, called);
        const keys = await allKeys(client);
        if (called.opts().json === true) printJson(io, { keys });
        else printLines(io, formatKeys(io, keys));
      }),
    );
}

async function allKeys(client: IdentityClient): Promise<IssuedKey[]> {
  const keys: IssuedKey[] = [];
  for (let page = await client.keys(); ; page = await client.keys(page.next)) {
    keys.push(...page.keys);
    if (page.next === undefined) return keys;
  }
}

function defineCreate(command: Command, run: Runner): void {
  withTarget(command.command('create <scope>').description(`issues a key; the scope is ${KeyScope.options.join(', ')}`))
    .option('--label <TEXT>', 'what it is for')
    .option('--expires <DURATION>', 'how long it holds: 1y, 90d, 12h, 30min, 45s')
    .option('--node <ID>', 'the node of a key with the scope node')
    .option('--for-site <NAME>', 'the site of the nodes that a join key lets in')
    .option('--max-uses <NUMBER>', 'how many nodes a join key lets in')
    .option('-q, --quiet', 'print the key and nothing else')
    .option('--json', 'print the answer, with the key')
    .action(
      run(async (io, called) => {
        const request = requestOf(called);
        const created = await (await connect(io, called)).createKey(request);
        const { quiet, json } = called.opts<{ quiet?: boolean; json?: boolean }>();
        if (quiet === true) printLines(io, [created.key]);
        else if (json === true) printJson(io, created);
        else printLines(io, [created.key, '', ...notesOn(created)]);
      }),
    );
}

function notesOn({ key_id, leader_node_id }: CreatedKey): string[] {
  const shown = `This is the only time that it is shown. End it with: bootplane keys revoke ${key_id}`;
  if (leader_node_id === undefined) return [shown];
  return [
    shown,
    `It holds at any node of this site while ${leader_node_id} leads. The next leader neither knows it nor can revoke it: give it an end with --expires, or keep keys in a cloud.`,
  ];
}

function defineRevoke(command: Command, run: Runner): void {
  withTarget(command.command('revoke <key-id>').description('ends a key'))
    .option('--json', 'print the answer')
    .action(
      run(async (io, called) => {
        const id = called.args[0] ?? '';
        if (id.includes('~'))
          throw new CommandError(
            'usage',
            'that is a key, not its id',
            'The id stands between its second and third ~; `keys list` shows it.',
          );
        const client = await connect(io, called);
        const key = await client.revokeKey(id);
        // It is revoked, whatever becomes of the second question. Who revokes its own key gets no answer to that.
        const issued = key.scope === 'operator' ? await allKeys(client).then(issuedBy(key), () => undefined) : [];
        if (called.opts().json === true) printJson(io, { ...key, ...(issued === undefined ? {} : { issued }) });
        else
          printLines(io, [
            `${key.key_id} (${key.scope}) is revoked; where it was used in the last minute it may hold that long`,
            ...(issued === undefined
              ? ['which keys were issued with it could not be read: see bootplane keys list']
              : issued.map(stillLive)),
          ]);
      }),
    );
}

/** The keys that hold and were issued with this one, or with one that was: revoking a key does not end them. */
function issuedBy({ key_id }: IssuedKey): (keys: readonly IssuedKey[]) => IssuedKey[] {
  const line = new Set([key_id]);
  const makerOf = ({ created_by }: IssuedKey) => /^key (\S+)/.exec(created_by)?.[1] ?? '';
  return (keys) => {
    // Their ids do not tell their order: each round finds at least one more generation.
    for (let size = 0; size !== line.size; ) {
      size = line.size;
      for (const key of keys) if (line.has(makerOf(key))) line.add(key.key_id);
    }
    return keys.filter((key) => key.key_id !== key_id && key.state === 'active' && line.has(key.key_id));
  };
}

function stillLive({ key_id, scope, label, created_by }: IssuedKey): string {
  const what = label === undefined ? scope : `${scope}, ${oneLine(label)}`;
  return `${key_id} (${what}) was issued with ${oneLine(created_by)} and still holds; end it with: bootplane keys revoke ${key_id}`;
}

function withTarget(command: Command): Command {
  return addSettings(command.allowExcessArguments(false), CLIENT_SETTINGS).option(
    '--in-fleet <NAME>',
    'as the admin, in this fleet of the cloud (with BOOTPLANE_ADMIN_KEY)',
  );
}

async function connect(io: Io, called: Command): Promise<IdentityClient> {
  const settings = settingsFrom(io, called);
  const fleet: string | undefined = called.opts<{ inFleet?: string }>().inFleet;
  if (fleet !== undefined && settings.admin_key === undefined) {
    throw new CommandError(
      'config',
      '--in-fleet needs the admin key of the cloud',
      'Set BOOTPLANE_ADMIN_KEY, or leave it out to act with a key of the fleet.',
    );
  }
  const credential = fleet === undefined ? await credentialOfFleet(settings) : settings.admin_key;
  const url = settings.url ?? (fleet === undefined ? undefined : settings.cloud_url) ?? (await findLocalNode(settings.data_dir)).url;
  refuseOpenWire(url);
  const options = { url, fetch: withDeadline(io.signal), ...(credential === undefined ? {} : { credential }) };
  return createIdentityClient(options, fleet);
}

/** Whoever has the admin key alone acts in a fleet by naming it. */
async function credentialOfFleet(settings: Settings): Promise<string> {
  try {
    return await findCredential(settings);
  } catch (error) {
    if (settings.admin_key === undefined) throw error;
    const what = 'no credential of a fleet: of BOOTPLANE_API_KEY and BOOTPLANE_ADMIN_KEY only the admin key is set';
    throw new CommandError('config', what, 'Name the fleet to act in with --in-fleet NAME; `bootplane fleet list` lists them.');
  }
}

function requestOf(called: Command): CreateKeyRequest {
  const { label, expires, node, forSite, maxUses } = called.opts<Record<string, string | undefined>>();
  const [scope = ''] = called.args;
  if (!KeyScope.options.some((one) => one === scope)) {
    throw new CommandError('usage', `there is no scope "${oneLine(scope)}"`, `Give one of ${KeyScope.options.join(', ')}.`);
  }
  const request = CreateKeyRequest.safeParse({
    scope,
    ...(label === undefined ? {} : { label }),
    ...(expires === undefined ? {} : { expires_in_seconds: parseDuration('--expires', expires) }),
    ...(node === undefined ? {} : { node_id: node }),
    ...(forSite === undefined ? {} : { site: forSite }),
    ...(maxUses === undefined ? {} : { max_uses: parseWhole('--max-uses', maxUses) }),
  });
  if (request.success) return request.data;
  const [issue] = request.error.issues;
  throw new CommandError('usage', `${FLAGS[String(issue?.path[0])] ?? 'the key'}: ${issue?.message}`, 'See: bootplane keys --help');
}

const FLAGS: Readonly<Record<string, string>> = {
  scope: 'the scope',
  label: '--label',
  expires_in_seconds: '--expires',
  node_id: '--node',
  site: '--for-site',
  max_uses: '--max-uses',
};

function formatKeys(io: Io, keys: readonly IssuedKey[]): string[] {
  if (keys.length === 0) return ['no key was issued'];
  const colors = colorsFor(io);
  const ageOf = (time: string | undefined) => (time === undefined ? '-' : formatAge(io, time));
  const rows = keys.map((key) => [
    key.key_id,
    key.scope,
    key.state === 'active' ? colors.green(key.state) : colorState(colors, key.state),
    key.node_id ?? key.site ?? '-',
    key.uses === undefined ? '-' : `${key.uses}${key.max_uses === undefined ? '' : ` of ${key.max_uses}`}`,
    ageOf(key.created_at),
    ageOf(key.expires_at),
    ageOf(key.last_used_at),
    oneLine(key.label ?? ''),
  ]);
  return formatTable(['KEY ID', 'SCOPE', 'STATE', 'FOR', 'USES', 'CREATED', 'EXPIRES', 'LAST USED', 'LABEL'], rows);
}
