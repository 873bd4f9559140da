import type { Command } from 'commander';
import type { Client } from '../../shared/client.ts';
import { type Change, DocumentKind, fromWire, type HistoryEntry } from '../../shared/contract/document.ts';
import { diffDocuments } from '../../shared/decide/diff.ts';
import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { formatChanges } from './document-changes.ts';
import { CommandError, EXIT_CODES } from './errors.ts';
import { formatAge, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Two sides of a network that was cut may both have published. Then one version stands, and the other
is kept as a conflict, until somebody publishes: either of the two, or one that has what both want.

Examples:
  bootplane conflicts                  all open conflicts
  bootplane conflicts plan             those of the Cluster Plan
  bootplane conflicts --json | jq .conflicts

Exits with 0 when there is none, with 2 when there are some.`;

/** How many differences are shown of each conflict. */
const SHOWN_CHANGES = 8;
const SHORT_HASH = 12;

interface Conflict {
  readonly kind: DocumentKind;
  readonly lost: HistoryEntry;
  readonly current: HistoryEntry;
  /** What publishing the one that lost would change. */
  readonly changes: readonly Change[];
  readonly before: Record<string, unknown>;
  readonly after: Record<string, unknown>;
}

export const define: Define = (command, run) => {
  command.argument('[document]', 'plan or profile; default: both');
  addSettings(command, CLIENT_SETTINGS)
    .option('--json', 'print the conflicts with all differences')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const kinds = kindsOf(command);
        const client = await connect(io, settingsFrom(io, command));
        const conflicts = await withProgress(io, 'reading the history', readAll(client, kinds));
        if (command.opts().json === true) printJson(io, { conflicts: conflicts.map(toJson) });
        else printLines(io, conflicts.length === 0 ? ['no open conflicts'] : conflicts.flatMap((one) => [...format(io, one), '']));
        return conflicts.length === 0 ? EXIT_CODES.ok : EXIT_CODES.differs;
      }),
    );
};

function kindsOf({ args: [name] }: Command): readonly DocumentKind[] {
  if (name === undefined) return DocumentKind.options;
  const kind = DocumentKind.safeParse(name);
  if (kind.success) return [kind.data];
  throw new CommandError('usage', `there is no document ${oneLine(name)}`, 'It is plan or profile; without one, both are shown.');
}

async function readAll(client: Client, kinds: readonly DocumentKind[]): Promise<Conflict[]> {
  const found: Conflict[] = [];
  for (const kind of kinds) {
    const { versions } = (await client.history(kind)).body;
    const current = versions.find((one) => one.current);
    if (current === undefined) continue;
    for (const lost of versions.filter((one) => one.conflict)) found.push(await compare(client, kind, lost, current));
  }
  return found;
}

async function compare(client: Client, kind: DocumentKind, lost: HistoryEntry, current: HistoryEntry): Promise<Conflict> {
  const read = async ({ generation, hash }: HistoryEntry) => fromWire(kind, '', (await client.version(kind, generation, hash)).body).body;
  const [before, after] = [await read(current), await read(lost)];
  // Not by a dry run: what lost may come from a version of bootplane whose documents this one can't publish.
  return { kind, lost, current, changes: diffDocuments(before, after), before, after };
}

function toJson({ kind, lost, current, changes }: Conflict) {
  const { generation, hash, published_by, published_at } = lost;
  return { kind, generation, hash, published_by, published_at, current_generation: current.generation, changes };
}

function format(io: Io, { kind, lost, current, changes, before, after }: Conflict): string[] {
  const colors = colorsFor(io);
  const describe = ({ generation, hash, published_by, published_at }: HistoryEntry) =>
    `generation ${generation} (${hash.slice(0, SHORT_HASH)}), published ${formatAge(io, published_at)} by ${oneLine(published_by)}`;
  const shown = formatChanges(io, kind, changes.slice(0, SHOWN_CHANGES), before, after).filter((line) => /^\S*[+~-] /.test(line));
  const more = changes.length - SHOWN_CHANGES;
  return [
    colors.bold(`${kind}: ${describe(lost)}, lost to`),
    `      ${describe(current)}. Against that one it would change:`,
    ...shown.map((line) => `  ${line}`),
    ...(more > 0 ? [`  and ${more} more; --json lists all`] : []),
    `To keep what is current:  bootplane ${kind} rollback ${current.generation}`,
    `To take this one:         bootplane ${kind} rollback ${lost.generation} --hash ${lost.hash.slice(0, SHORT_HASH)}`,
    `To publish another one:   bootplane ${kind} publish FILE`,
  ];
}
