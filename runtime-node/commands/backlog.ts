import { type Command, InvalidArgumentError, Option } from 'commander';
import { ApiError, type Client } from '../../shared/client.ts';
import { EnvironmentComponentName } from '../../shared/contract/backlog.ts';
import { type BacklogConflict, type BacklogConflicts, type ConflictDecision, ConflictId } from '../../shared/contract/backlog-conflict.ts';
import { formatConflict, formatConflicts, formatElsewhere, nameOf } from './backlog-format.ts';
import type { Define, Runner } from './command.ts';
import { connect } from './connect.ts';
import { CommandError, EXIT_CODES } from './errors.ts';
import { oneLine } from './format.ts';
import { type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane backlog                                    what did not go over, with both sides
  bootplane backlog resolve storage-17 --keep external give ours up
  bootplane backlog resolve storage-17 --keep ours     let ours take the place of what is there
  bootplane backlog resolve --all --keep external      give all of them up
  bootplane backlog move                               let what waits for an old address go to the one of now

While an external (object storage, broker, vector index) is away, its node keeps what is written, and brings it over
later. It never replaces anything by that: what finds its place taken by something else, or is refused, waits here for
a person. Versions of plan and profile that lost are another matter: \`bootplane conflicts\`.

It exits with 0 when there is none, with 2 when there are some.`;

const MOVE_HELP = `
Examples:
  bootplane backlog move
  bootplane backlog move --from http://192.0.2.9:9000 --yes

What waits for one server never goes to another by itself. When the address of a server has changed, or it is gone for
good and another has its place, this lets it go there. What that one holds already stays as it is: then it is a conflict.`;

const RESOLVE_HELP = `
Examples:
  bootplane backlog resolve vector-3 --keep external
  bootplane backlog resolve storage-17 --keep ours --yes
  bootplane backlog resolve --all --component storage --keep external

--keep external gives ours up: it waits no more. What the embedded default holds stays there, and is not read any more;
only a message, which has no place but its queue, is removed.
--keep ours puts ours in the place of exactly what is shown of the external; when something else is there by then,
nothing is done. What was there is gone, but for a bucket that keeps versions. A declaration or a message that the
broker refused is tried once more.
It shows what it is about and asks first.`;

/** Of one answer: each of them is read on both sides. */
const PAGE = 100;

interface Flags {
  readonly after?: string;
  readonly from?: string;
  readonly component?: EnvironmentComponentName;
  readonly keep?: ConflictDecision['keep'];
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export const define: Define = (command, run) => {
  command.addHelpText('after', HELP);
  defineList(command, run);
  defineResolve(command, run);
  defineMove(command, run);
};

function ofComponent(): Option {
  return new Option('--component <name>', 'only those of one component').choices(EnvironmentComponentName.options);
}

function defineList(parent: Command, run: Runner): void {
  const command = parent.command('conflicts', { isDefault: true }).description('what did not go over (without a subcommand too)');
  addSettings(command.allowExcessArguments(false), CLIENT_SETTINGS)
    .addOption(ofComponent())
    .option('--after <id>', 'those behind this one', conflictId)
    .option('--json', 'print the answer')
    .action(
      run(async (io, command) => {
        const { component, after, json } = command.opts<Flags>();
        const client = await connect(io, settingsFrom(io, command));
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }), ...(component === undefined ? {} : { component }) };
        const found = await withProgress(io, 'looking at what did not go over', read(client, query));
        if (json === true) printJson(io, found);
        else printLines(io, formatConflicts(io, found));
        return found.conflicts.length === 0 && found.elsewhere === undefined ? EXIT_CODES.ok : EXIT_CODES.differs;
      }),
    );
}

function defineResolve(parent: Command, run: Runner): void {
  const command = parent.command('resolve').argument('[id]', 'as `bootplane backlog` shows it', conflictId);
  addSettings(command.description('end a conflict: give ours up, or let it take that place').allowExcessArguments(false), CLIENT_SETTINGS)
    .addOption(new Option('--keep <side>', 'whose content is kept').choices(['external', 'ours']).makeOptionMandatory())
    .option('--all', 'all of them')
    .addOption(ofComponent())
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print the answers; with --yes nothing else')
    .addHelpText('after', RESOLVE_HELP)
    .action(run(resolve));
}

function defineMove(parent: Command, run: Runner): void {
  const command = parent.command('move').description('let what waits for an address that is configured no more go to the one of now');
  addSettings(command.allowExcessArguments(false), CLIENT_SETTINGS)
    .option('--from <address>', 'that address, as `bootplane backlog` shows it; only needed where there are several')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print the answers; with --yes nothing else')
    .addHelpText('after', MOVE_HELP)
    .action(run(move));
}

async function move(io: Io, command: Command): Promise<number> {
  const { from, json, yes } = command.opts<Flags>();
  const client = await connect(io, settingsFrom(io, command));
  const { elsewhere = [], externals } = await withProgress(io, 'looking at what waits', read(client, { limit: 1 }));
  const found = elsewhere.filter(({ identity }) => from === undefined || identity === from);
  if (found.length === 0) {
    const why = from === undefined ? 'nothing waits for an address that is configured no more' : `nothing waits for ${oneLine(from)}`;
    throw new CommandError('failed', why, SHOW);
  }
  if (new Set(found.map(({ identity }) => identity)).size > 1)
    throw new CommandError('usage', 'things wait for several addresses: name one with --from', SHOW);
  const lines = formatElsewhere({ elsewhere: found, externals });
  if (json !== true) printLines(io, lines);
  if (yes !== true) await confirm(io, 'Let it go to the one of now? [y/N] ', json === true ? lines : []);
  const results = [];
  for (const { component, identity } of found)
    results.push((await withProgress(io, 'moving', client.moveBacklog({ component, from: identity }))).body);
  if (json === true) printJson(io, { results });
  else
    printLines(
      io,
      results.map(({ component, moved }) => `${component}: ${moved} wait for the one of now; \`bootplane status\` shows how far it is`),
    );
  return EXIT_CODES.ok;
}

async function resolve(io: Io, command: Command): Promise<number> {
  const { keep = 'external', json, yes } = command.opts<Flags>();
  const client = await connect(io, settingsFrom(io, command));
  const { externals, conflicts } = await chosen(io, client, command);
  const blocked = keep === 'ours' ? conflicts.filter(({ tag }) => tag === undefined) : [];
  const shown = conflicts.flatMap((one) => formatConflict(io, one, externals[one.component]));
  if (json !== true) printLines(io, shown);
  for (const one of blocked) io.stderr.write(`${one.id}: ours can't take that place now, and it stays a conflict\n`);
  const open = conflicts.filter((one) => !blocked.includes(one));
  if (open.length === 0) return conflicts.length === 0 ? EXIT_CODES.ok : EXIT_CODES.failed;
  if (yes !== true) await askFirst(io, open, keep, json === true ? shown : []);
  const answers = await decideAll(io, client, open, keep);
  if (json === true) printJson(io, { results: answers });
  else
    printLines(
      io,
      answers.map(({ id, message, failed }) => `${id}: ${oneLine(failed ?? message ?? '')}`),
    );
  return blocked.length > 0 || answers.some(({ failed }) => failed !== undefined) ? EXIT_CODES.failed : EXIT_CODES.ok;
}

/** One that is named, or all. */
async function chosen(io: Io, client: Client, command: Command): Promise<Pick<BacklogConflicts, 'externals' | 'conflicts'>> {
  const { all, component } = command.opts<Flags>();
  const [id] = command.args;
  if ((id === undefined) === (all !== true)) {
    throw new CommandError('usage', 'name one conflict, or say --all', '`bootplane backlog` shows them with their ids.');
  }
  const looking = 'looking at what did not go over';
  if (id === undefined) return withProgress(io, looking, readAll(client, component));
  const found = await withProgress(io, looking, read(client, { id }));
  if (found.conflicts.length === 0) throw new CommandError('failed', `there is no conflict ${oneLine(id)} on this node`, SHOW);
  return found;
}

const SHOW = '`bootplane backlog` shows those that there are.';

async function read(client: Client, query: Parameters<Client['backlogConflicts']>[0]): Promise<BacklogConflicts> {
  try {
    return (await client.backlogConflicts(query)).body;
  } catch (error) {
    if (!(error instanceof ApiError) || error.problem.code !== 'not_found') throw error;
    throw new CommandError(
      'failed',
      `${client.url} has no external, so nothing waits there`,
      'Ask a node with MINIO_ENDPOINT, AMQP_URL or WEAVIATE_URL.',
    );
  }
}

async function readAll(client: Client, component: string | undefined): Promise<Pick<BacklogConflicts, 'externals' | 'conflicts'>> {
  const conflicts: BacklogConflict[] = [];
  for (let after: string | undefined; ; ) {
    const query = { limit: PAGE, ...(after === undefined ? {} : { after }), ...(component === undefined ? {} : { component }) };
    const page = await read(client, query);
    conflicts.push(...page.conflicts);
    after = page.next;
    if (after === undefined) return { externals: page.externals, conflicts };
  }
}

async function askFirst(
  io: Io,
  conflicts: readonly BacklogConflict[],
  keep: ConflictDecision['keep'],
  lines: readonly string[],
): Promise<void> {
  const [only] = conflicts.length === 1 ? conflicts : [];
  const what = only === undefined ? `these ${conflicts.length}` : nameOf(only);
  await confirm(io, keep === 'ours' ? `Let ours take the place of ${what}? [y/N] ` : `Give ours up of ${what}? [y/N] `, lines);
}

/** `lines`: what it is about, where that was not printed. */
async function confirm(io: Io, question: string, lines: readonly string[]): Promise<void> {
  if (io.ask === undefined)
    throw new CommandError('declined', 'nothing was done: there is no terminal to ask on', 'Add --yes to do it without being asked.');
  if (lines.length > 0) io.stderr.write(`${lines.join('\n')}\n`);
  const answer = await io.ask(question);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('declined', 'nothing was done');
}

interface Answered {
  readonly id: string;
  readonly keep: ConflictDecision['keep'];
  readonly message?: string;
  /** Why this one stays. */
  readonly failed?: string;
}

/** What keeps one open says nothing of the others. */
async function decideAll(
  io: Io,
  client: Client,
  conflicts: readonly BacklogConflict[],
  keep: ConflictDecision['keep'],
): Promise<Answered[]> {
  const answers: Answered[] = [];
  for (const one of conflicts) {
    const { id } = one;
    try {
      const { body } = await withProgress(io, `ending ${id}`, client.resolveConflict(toDecision(one, keep)));
      answers.push({ id, keep, message: body.message });
    } catch (error) {
      if (!(error instanceof ApiError) || conflicts.length === 1) throw error;
      answers.push({ id, keep, failed: `${error.problem.detail} (${error.problem.code})` });
    }
  }
  return answers;
}

function toDecision({ id, tag }: BacklogConflict, keep: ConflictDecision['keep']): ConflictDecision {
  if (keep === 'external') return { id, keep };
  if (tag === undefined) throw new TypeError(`${id} can't be kept, and was to be`);
  return { id, keep, tag };
}

function conflictId(text: string): string {
  if (!ConflictId.safeParse(text).success)
    throw new InvalidArgumentError('It must be the id of a conflict, as `bootplane backlog` shows it.');
  return text;
}
