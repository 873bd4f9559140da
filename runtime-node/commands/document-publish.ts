import { ApiError, type Client } from '../../shared/client.ts';
import { type DocumentKind, type Emergency, fromWire, type PublishAnswer } from '../../shared/contract/document.ts';
import type { ReconcileDiff } from '../../shared/contract/reconcile.ts';
import { nameOf } from '../../shared/decide/emergency.ts';
import { type ArtifactLookup, warnOfArtifacts } from './document-artifacts.ts';
import { formatChanges } from './document-changes.ts';
import { withPlaces } from './document-check.ts';
import type { DocumentFile } from './document-file.ts';
import { CommandError } from './errors.ts';
import { mayBeDone, toCommandError } from './failure.ts';
import { oneLine } from './format.ts';
import { type Io, printJson, printLines, withProgress } from './io.ts';
import { detailOf } from './problem-words.ts';
import { formatDiff } from './reconcile-diff.ts';

type Body = Record<string, unknown>;

export interface Draft {
  readonly kind: DocumentKind;
  readonly body: Body;
  /** Where the body came from, to say where in it something is wrong. */
  readonly file?: DocumentFile;
}

/** What publishing would do. `base` is the version that it was compared with. */
export interface Preview {
  readonly base: Base;
  readonly answer: PublishAnswer;
}

/** The version that a draft is to replace. */
interface Base {
  readonly generation: number;
  readonly body: Body;
  /** What is to be replaced, and nothing else. */
  readonly if_match: number | string;
  /** The emergency version that the site follows now. */
  readonly emergency?: Emergency;
}

export interface PreviewFlags {
  readonly allow_empty: boolean;
  /** An emergency version for the site of the node that is asked. */
  readonly break_glass: boolean;
}

/** Compares a draft with what is published. Changes nothing. */
export async function preview(io: Io, client: Client, draft: Draft, flags: PreviewFlags): Promise<Preview> {
  const base = await withProgress(io, 'reading what is published', current(client, draft.kind, flags));
  const call = client.publish(draft.kind, draft.body, { ...publishOptions(base, flags), dry_run: true });
  const { body: answer } = await withProgress(io, 'comparing', withPlaces(draft.file, call));
  return { base, answer };
}

function publishOptions({ if_match }: Base, { allow_empty, break_glass }: PreviewFlags) {
  return { if_match, allow_empty, ...(break_glass ? { break_glass } : {}) };
}

export interface PublishFlags extends PreviewFlags {
  readonly yes: boolean;
  readonly json: boolean;
}

/** Where to publish. */
export interface Target {
  readonly client: Client;
  readonly artifacts: ArtifactLookup;
}

/** Shows the difference, asks, and publishes on exactly the version that was compared. */
export async function publish(io: Io, { client, artifacts }: Target, draft: Draft, flags: PublishFlags): Promise<void> {
  const { base, answer } = await preview(io, client, draft, flags).catch((error: unknown) => {
    throw nothingDone(error, flags);
  });
  if (!answer.changed) {
    if (flags.json) printJson(io, answer);
    else printLines(io, [`nothing to publish: ${nameOf({ ...answer, generation: base.generation })} says the same`]);
    return;
  }
  const changes = formatChanges(io, draft.kind, answer.changes, base.body, draft.body);
  const effect = await effectOf(io, client, draft);
  const missing = draft.kind === 'plan' ? await warnOfArtifacts(io, artifacts, base.body, draft.body) : [];
  const about = flags.break_glass ? meaningOf(draft.kind, answer) : endOf(base);
  const difference = changes.length === 0 ? [sameAgain(base, answer)] : changes;
  const lines = [...difference, '', ...effect.lines, ...missing, ...about, ''];
  if (!flags.json) printLines(io, lines);
  if (!flags.yes) await askFirst(io, draft, flags, flags.json ? lines : []);
  const call = client.publish(draft.kind, draft.body, publishOptions(base, flags));
  const { body: done } = await withProgress(io, 'publishing', withPlaces(draft.file, call)).catch((error: unknown) => {
    throw whetherDone(error, draft.kind);
  });
  if (flags.json) printJson(io, effect.diff === undefined ? done : { ...done, reconcile: effect.diff });
  else printLines(io, [`published ${nameOf(done)} (${done.hash.slice(0, 12)}); \`bootplane events -f\` shows how the nodes apply it`]);
}

/** A comparison that the cloud can't make is all there is to say of one; who came to publish reads what became of that, and what there is instead. */
function nothingDone(error: unknown, { break_glass }: PublishFlags): unknown {
  if (!(error instanceof ApiError) || error.problem.code !== 'unavailable') return error;
  const { code } = error.problem;
  const detail = detailOf(error.problem);
  const isOfCloud = !break_glass && detail.startsWith('the cloud decides');
  const instead = isOfCloud
    ? "What can't wait is published for this site alone with --break-glass."
    : '`bootplane doctor` looks for the cause.';
  return new CommandError('refused', `${detail} (${code})`, `Nothing was published. ${instead}`, { cause: error });
}

/** Of a publish that may have been done, the history says whether it was. */
function whetherDone(error: unknown, kind: DocumentKind): unknown {
  const failure = mayBeDone(error) ? toCommandError(error) : undefined;
  if (failure === undefined) return error;
  const hint = `\`bootplane ${kind} history\` shows whether it was published.`;
  return new CommandError(failure.kind, failure.message, hint, { cause: error });
}

/** What an emergency version is, and how it ends. */
function meaningOf(kind: DocumentKind, { emergency, generation }: PublishAnswer): string[] {
  if (emergency === undefined) return [];
  const time = kind === 'plan' ? ' The TTL stays that of the cloud.' : '';
  return [
    '',
    `This is ${nameOf({ generation, emergency })}, for the site ${emergency.site} alone.${time}`,
    `It holds until the cloud publishes a newer ${kind}: \`bootplane ${kind} publish FILE\`, without --break-glass, when the cloud answers again.`,
  ];
}

function endOf({ emergency, generation }: Base): string[] {
  if (emergency === undefined) return [];
  return ['', `This ends ${nameOf({ generation, emergency })}, which the site ${emergency.site} follows now.`];
}

interface Effect {
  /** Absent where no node told it. */
  readonly diff?: ReconcileDiff;
  readonly lines: readonly string[];
}

/** What the node that answers would do to its backends. Not to know that keeps nobody from publishing. */
async function effectOf(io: Io, client: Client, { kind, body }: Draft): Promise<Effect> {
  try {
    const { body: diff } = await withProgress(io, 'comparing with what is there', client.draftDiff({ [kind]: body }));
    if (diff.components.length === 0) return { diff, lines: ['The node is starting: what it would then do is not known yet.'] };
    return { diff, lines: [`What the node at ${client.url} would then do:`, ...formatDiff(io, diff)] };
  } catch (error) {
    if (error instanceof ApiError && NO_SUCH_CALL.includes(error.problem.code)) {
      return { lines: [`What nodes would then do is not shown: ${client.url} is no node, or one of an earlier version.`] };
    }
    const why = oneLine(error instanceof Error ? error.message : String(error));
    return { lines: [`What the node at ${client.url} would then do could not be read: ${why}`] };
  }
}

/** A Supervisor on Workers has no backends, and an earlier node compared only what is published. */
const NO_SUCH_CALL: readonly string[] = ['not_found', 'method_not_allowed'];

function sameAgain({ generation: base, emergency }: Base, { generation: next, emergency: made }: PublishAnswer): string {
  if (made !== undefined || emergency !== undefined) return 'nothing differs but who decided it';
  if (base === 0) return `the same as the seed file, which no longer counts once generation ${next} is published`;
  return `the same as generation ${base}; published as generation ${next} it says that this is the one that is meant, and its conflicts are resolved`;
}

async function askFirst(io: Io, { kind, file }: Draft, { break_glass }: PreviewFlags, lines: readonly string[]): Promise<void> {
  if (io.ask === undefined || file?.name === '<stdin>') {
    throw new CommandError(
      'declined',
      'nothing was published: there is no terminal to ask on',
      'Add --yes to publish without being asked.',
    );
  }
  if (lines.length > 0) io.stderr.write(`${lines.join('\n')}\n`);
  const answer = await io.ask(`Publish this ${kind}${break_glass ? ' for this site alone' : ''}? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('declined', 'nothing was published');
}

async function current(client: Client, kind: DocumentKind, { break_glass }: PreviewFlags): Promise<Base> {
  try {
    const { body, etag } = await client.document(kind);
    if (body === undefined) throw new TypeError('an answer without a body to a question without an ETag');
    const { meta, body: own } = fromWire(kind, '', body);
    const { generation, emergency } = meta;
    if (break_glass) return { generation, body: own, if_match: etag ?? generation, ...(emergency === undefined ? {} : { emergency }) };
    if (emergency === undefined) return { generation, body: own, if_match: generation };
    return { generation, body: await fleetBody(client, kind, generation), if_match: generation, emergency };
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === `no_${kind}`) return { generation: 0, body: {}, if_match: 0 };
    throw error;
  }
}

/** What the fleet has while a site follows something else. Nothing may be published yet. */
async function fleetBody(client: Client, kind: DocumentKind, generation: number): Promise<Body> {
  try {
    return fromWire(kind, '', (await client.version(kind, generation)).body).body;
  } catch (error) {
    if (error instanceof ApiError && error.problem.code === 'no_such_generation') return {};
    throw error;
  }
}
