import { type Command, InvalidArgumentError } from 'commander';
import { stringify } from 'yaml';
import type { Client } from '../../shared/client.ts';
import { type DocumentKind, type EmergencyEntry, fromWire, type History, type HistoryEntry } from '../../shared/contract/document.ts';
import { nameOf, numberOf } from '../../shared/decide/emergency.ts';
import type { Define, Runner } from './command.ts';
import { connect, connectArtifacts } from './connect.ts';
import { formatChanges } from './document-changes.ts';
import { readCheckedFile } from './document-check.ts';
import { preview, publish, type Target } from './document-publish.ts';
import { CommandError, EXIT_CODES } from './errors.ts';
import { formatAge, oneLine } from './format.ts';
import { type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const TITLES: Record<DocumentKind, string> = { plan: 'Cluster Plan', profile: 'Environment Profile' };

/** `get`, `validate`, `diff`, `publish`, `history` and `rollback` of one of the two desired documents. */
export function defineDocument(kind: DocumentKind): Define {
  return (command, run) => {
    command.addHelpText('after', groupHelp(kind));
    defineGet(command, kind, run);
    defineValidate(command, kind, run);
    defineDiff(command, kind, run);
    definePublish(command, kind, run);
    defineHistory(command, kind, run);
    defineRollback(command, kind, run);
  };
}

function groupHelp(kind: DocumentKind): string {
  return `
Examples:
  bootplane ${kind} get > ${kind}.yaml        write the published one to a file
  bootplane ${kind} validate ${kind}.yaml     check a file, without a node
  bootplane ${kind} diff ${kind}.yaml         what publishing it would change; exits with 2 when it would
  bootplane ${kind} publish ${kind}.yaml      publish it
  bootplane ${kind} history                 all versions
  bootplane ${kind} rollback 3              publish version 3 again, as a new one

Files are YAML or JSON; - reads standard input. In every text \${BOOTPLANE_FILE_DIR} is
replaced by the folder of the file and \${BOOTPLANE_USER} by the user who runs this.`;
}

function subcommand(parent: Command, name: string, description: string, examples: readonly string[]): Command {
  const command = parent.command(name).description(description).allowExcessArguments(false);
  return command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  bootplane ${parent.name()} ${example}`).join('\n')}`);
}

function defineGet(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'get', `print the published ${TITLES[kind]} as YAML`, [
    'get > current.yaml',
    'get --generation 3 --json',
  ]);
  addSettings(command, CLIENT_SETTINGS)
    .option('--generation <N>', 'an earlier version', wholeNumber)
    .option('--hash <HEX>', 'with --generation: how the hash of the version starts, where a generation has several', hashStart)
    .option('--json', 'print the document with its generation, hash and signature')
    .action(
      run(async (io, command) => {
        const { generation, hash, json } = command.opts<{ generation?: number; hash?: string; json?: boolean }>();
        const client = await connect(io, settingsFrom(io, command));
        const call = generation === undefined ? client.document(kind) : readVersion(client, kind, generation, hash);
        const { body: wire = {} } = await withProgress(io, 'reading', call);
        if (json === true) return printJson(io, wire);
        const { meta, body } = fromWire(kind, '', wire);
        const site = meta.emergency === undefined ? '' : ` of the site ${oneLine(meta.emergency.site)}`;
        const head = `# ${TITLES[kind]}, ${nameOf(meta)}${site}, published ${meta.published_at} by ${oneLine(meta.published_by)}`;
        io.stdout.write(`${head}\n${stringify(body)}`);
      }),
    );
}

function defineValidate(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'validate <file>', 'check a file; needs no node', [`validate ${kind}.yaml`, 'validate - < some.json']);
  command.option('--json', 'print {valid: true}').action(
    run(async (io, command) => {
      const file = await readCheckedFile(io, kind, argument(command));
      if (command.opts().json === true) printJson(io, { valid: true });
      else printLines(io, [`${file.name} is a valid ${TITLES[kind]}`]);
    }),
  );
}

function defineDiff(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'diff <file>', 'what publishing a file would change: exits with 0 for nothing, 2 for something', [
    `diff ${kind}.yaml`,
    `diff ${kind}.yaml --json | jq .changes`,
  ]);
  addSettings(command, CLIENT_SETTINGS)
    .option('--break-glass', 'as an emergency version: compares with what this site follows, without the cloud')
    .option('--json', 'print the answer of the dry run')
    .action(
      run(async (io, command) => {
        const file = await readCheckedFile(io, kind, argument(command));
        const client = await connect(io, settingsFrom(io, command));
        const { base, answer } = await preview(
          io,
          client,
          { kind, body: file.body, file },
          { allow_empty: true, break_glass: command.opts().breakGlass === true },
        );
        if (command.opts().json === true) printJson(io, answer);
        else if (answer.changes.length === 0) printLines(io, [`the same as ${nameOf({ ...answer, generation: base.generation })}`]);
        else printLines(io, formatChanges(io, kind, answer.changes, base.body, file.body));
        return answer.changes.length === 0 ? EXIT_CODES.ok : EXIT_CODES.differs;
      }),
    );
}

function addPublishOptions(command: Command): Command {
  return addSettings(command, CLIENT_SETTINGS)
    .option('-y, --yes', 'do not ask')
    .option('--allow-empty', 'publish even a document that has nothing in it')
    .option('--break-glass', 'an emergency version for this site alone, while the cloud is out of reach')
    .option('--json', 'print the answer; with --yes nothing else');
}

function publishFlags(command: Command) {
  const { yes, json, allowEmpty, breakGlass } = command.opts<{
    yes?: boolean;
    json?: boolean;
    allowEmpty?: boolean;
    breakGlass?: boolean;
  }>();
  return { yes: yes === true, json: json === true, allow_empty: allowEmpty === true, break_glass: breakGlass === true };
}

async function targetOf(io: Io, command: Command): Promise<Target> {
  const settings = settingsFrom(io, command);
  return { client: await connect(io, settings), artifacts: await connectArtifacts(io, settings) };
}

function definePublish(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'publish <file>', 'show what would change, ask, and publish a file', [
    `publish ${kind}.yaml`,
    `publish ${kind}.yaml --yes`,
    `publish - --yes < ${kind}.json`,
    `publish ${kind}.yaml --break-glass`,
  ]);
  addPublishOptions(command).action(
    run(async (io, command) => {
      const file = await readCheckedFile(io, kind, argument(command));
      const target = await targetOf(io, command);
      await publish(io, target, { kind, body: file.body, file }, publishFlags(command));
    }),
  );
}

function defineRollback(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'rollback', 'publish an earlier version again, as a new one', ['rollback 3', 'rollback 3 --yes']);
  command
    .argument('<generation>', 'the version, as `history` shows it', wholeNumber)
    .option('--hash <HEX>', 'how the hash of the version starts, where a generation has several', hashStart);
  addPublishOptions(command).action(
    run(async (io, command) => {
      const generation = wholeNumber(argument(command));
      const target = await targetOf(io, command);
      const { hash } = command.opts<{ hash?: string }>();
      const { body: wire } = await withProgress(io, 'reading', readVersion(target.client, kind, generation, hash));
      await publish(io, target, { kind, body: fromWire(kind, '', wire).body }, publishFlags(command));
    }),
  );
}

function defineHistory(parent: Command, kind: DocumentKind, run: Runner): void {
  const command = subcommand(parent, 'history', 'all versions, and who published them', ['history', 'history --json']);
  addSettings(command, CLIENT_SETTINGS)
    .option('--json', 'print the answer')
    .action(
      run(async (io, command) => {
        const client = await connect(io, settingsFrom(io, command));
        const { body } = await withProgress(io, 'reading', client.history(kind));
        if (command.opts().json === true) printJson(io, body);
        else printLines(io, formatHistory(io, kind, body));
      }),
    );
}

function formatHistory(io: Io, kind: DocumentKind, { versions, emergencies = [] }: History): string[] {
  if (versions.length === 0 && emergencies.length === 0) return ['nothing was published yet'];
  const all = [...emergencies, ...versions].sort((a, b) => b.generation - a.generation || numberOf(b) - numberOf(a));
  const rows = all.map((one) => [
    one.emergency === undefined ? String(one.generation) : `${one.generation} e${one.emergency.n}`,
    formatAge(io, one.published_at),
    oneLine(one.published_by),
    String(one.epoch),
    one.hash.slice(0, 12),
    'current' in one ? standingOf(kind, one) : emergencyStanding(one),
  ]);
  return formatTable(['GENERATION', 'PUBLISHED', 'BY', 'EPOCH', 'HASH', ''], rows);
}

function standingOf(kind: DocumentKind, { current, conflict, resolved }: HistoryEntry): string {
  return [
    current ? 'current' : '',
    conflict ? `conflict: lost to another version after a partition, see \`bootplane conflicts ${kind}\`` : '',
    resolved ? 'lost to another version after a partition' : '',
  ]
    .filter(Boolean)
    .join(', ');
}

function emergencyStanding({ emergency, holds }: EmergencyEntry): string {
  const site = oneLine(emergency.site);
  return holds ? `emergency version: the site ${site} follows it until a newer generation` : `emergency version of the site ${site}, over`;
}

/** After a partition a generation may have several versions; without `hash` the one that the current one was made from. */
async function readVersion(client: Client, kind: DocumentKind, generation: number, hash: string | undefined) {
  if (hash === undefined) return client.version(kind, generation);
  const { versions } = (await client.history(kind)).body;
  const found = versions.filter((one) => one.generation === generation && one.hash.startsWith(hash));
  const [only] = found;
  if (only !== undefined && found.length === 1) return client.version(kind, generation, only.hash);
  const what = found.length === 0 ? 'no version' : `${found.length} versions`;
  throw new CommandError(
    'refused',
    `generation ${generation} has ${what} with a hash that starts with ${hash}`,
    `\`bootplane ${kind} history\` lists them.`,
  );
}

function hashStart(text: string): string {
  if (!/^[0-9a-f]{4,64}$/.test(text)) throw new InvalidArgumentError('It must be 4 to 64 of the digits 0-9 a-f.');
  return text;
}

function argument(command: Command): string {
  return command.args[0] ?? '';
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 on.');
  return Number(text);
}
