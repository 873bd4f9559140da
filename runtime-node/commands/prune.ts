import type { Command } from 'commander';
import { type Client, createClient } from '../../shared/client.ts';
import { Sha256 } from '../../shared/contract/ids.ts';
import type { PrunePreview, PruneResult } from '../../shared/contract/prune.ts';
import type { Define } from './command.ts';
import { connectUnbounded } from './connect.ts';
import { CommandError, EXIT_CODES } from './errors.ts';
import { type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatPreview, formatResult, SHORT_HASH } from './prune-format.ts';

const HELP = `
Examples:
  bootplane prune                                    what could be removed, and the hash that approves just that
  bootplane prune --approve HASH                     remove it, but for what is not empty
  bootplane prune --approve HASH --include-non-empty remove all of it

Nothing is removed because a profile leaves it out. This removes what bootplane itself made on the backends of the node
that answers and the profile no longer names, and does what an apply never does by itself: suspend versioning, expire
sooner, shorten the life of messages. The hash covers the backends, the profile and every action; it holds for ten
minutes, for one time, and only while a fresh look finds exactly the same. What others made is never touched.
On a terminal it asks.

It exits with 0 when nothing is left to remove, with 2 when something is, with 1 when something failed or is refused.`;

interface Flags {
  readonly approve?: string;
  readonly includeNonEmpty?: boolean;
  readonly json?: boolean;
}

export const define: Define = (command, run) => {
  addSettings(command, CLIENT_SETTINGS)
    .option('--approve <hash>', 'remove exactly what the preview with this hash has shown')
    .option('--include-non-empty', 'also what is not empty; without it that stays')
    .option('--json', 'print the answer')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const client = createClient(await connectUnbounded(io, settingsFrom(io, command)));
        const { approve } = command.opts<Flags>();
        return approve === undefined ? show(io, client, command) : remove(io, client, readHash(approve), command);
      }),
    );
};

async function show(io: Io, client: Client, command: Command): Promise<number> {
  const { json, includeNonEmpty } = command.opts<Flags>();
  const { body: preview } = await withProgress(io, 'looking at what could be removed', client.prunePreview());
  if (json === true) printJson(io, preview);
  else printLines(io, formatPreview(io, preview, includeNonEmpty === true));
  const code = previewCode(preview);
  if (code !== EXIT_CODES.differs || preview.hash === undefined || json === true || io.ask === undefined) return code;
  const short = preview.hash.slice(0, SHORT_HASH);
  const answer = await io.ask(`Type ${short} to remove it, or nothing to leave it: `);
  if (answer.trim() !== short) throw new CommandError('declined', 'nothing was removed');
  return remove(io, client, preview.hash, command);
}

function previewCode({ refused, components }: PrunePreview): number {
  if (refused.length > 0 || components.some(({ failed }) => failed !== undefined)) return EXIT_CODES.failed;
  return components.some(({ actions }) => actions.length > 0) ? EXIT_CODES.differs : EXIT_CODES.ok;
}

async function remove(io: Io, client: Client, hash: string, command: Command): Promise<number> {
  const { json, includeNonEmpty = false } = command.opts<Flags>();
  const call = client.prune({ hash, include_non_empty: includeNonEmpty });
  const { body: result } = await withProgress(io, 'removing', call);
  if (json === true) printJson(io, result);
  else printLines(io, formatResult(io, result));
  return resultCode(result);
}

function resultCode({ results }: PruneResult): number {
  if (results.some(({ outcome }) => outcome === 'failed')) return EXIT_CODES.failed;
  return results.every(({ outcome }) => outcome === 'applied') ? EXIT_CODES.ok : EXIT_CODES.differs;
}

/** Whole: a part of it would approve whatever comes to begin like that. */
function readHash(text: string): string {
  const hash = Sha256.safeParse(text);
  if (hash.success) return hash.data;
  throw new CommandError('usage', '--approve takes the whole hash, 64 hex digits, as `bootplane prune` shows it');
}
