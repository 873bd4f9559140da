import type {
  Holding,
  PruneComponent,
  PruneEvidence,
  PruneOutcome,
  PrunePreview,
  PruneResult,
  QueueUse,
} from '../../shared/contract/prune.ts';
import { oneLine } from './format.ts';
import { type Colors, colorsFor, type Io } from './io.ts';
import { formatChange } from './reconcile-diff.ts';

/** Characters of a hash that a person types. */
export const SHORT_HASH = 12;

/** What could be removed, and how. */
export function formatPreview(io: Io, preview: PrunePreview, include_non_empty: boolean): string[] {
  const { components, refused, hash, generation } = preview;
  const colors = colorsFor(io);
  const actions = components.flatMap((one) => one.actions);
  const filled = actions.filter(({ evidence: { empty, used, unguarded } }) => !empty || used === true || unguarded === true).length;
  return [
    ...components.flatMap((component) => formatComponent(io, component)),
    ...(refused.length === 0 ? [] : ['', ...refused.map((why) => colors.red(`Nothing may be removed now: ${oneLine(why)}`))]),
    ...(actions.length === 0 ? [] : ['', sumUp(actions.length, filled, generation, include_non_empty)]),
    ...(hash === undefined ? [] : howTo(preview, hash, filled > 0)),
  ];
}

function sumUp(count: number, filled: number, generation: number | undefined, include_non_empty: boolean): string {
  const stays = include_non_empty ? '' : `, which ${filled === 1 ? 'stays' : 'stay'} without --include-non-empty`;
  const rest = filled === 0 ? 'all of it empty and unused' : `${filled} of them not, or not surely, empty and unused${stays}`;
  return `${count} ${count === 1 ? 'action' : 'actions'} by profile generation ${generation}, ${rest}.`;
}

function howTo({ expires_in_seconds = 0 }: PrunePreview, hash: string, hasFilled: boolean): string[] {
  const minutes = Math.floor(expires_in_seconds / 60);
  const command = `  bootplane prune --approve ${hash}`;
  return [
    `To do exactly this, within ${minutes} minutes:`,
    command,
    ...(hasFilled ? ['or, with what is not empty or is used:', `${command} --include-non-empty`] : []),
  ];
}

function formatComponent(io: Io, { component, backend, identity, actions, kept, ...why }: PruneComponent): string[] {
  const colors = colorsFor(io);
  const head = `${colors.bold(component)} (${oneLine(backend)} at ${oneLine(identity)})`;
  if (why.failed !== undefined) return [`${head}: ${colors.red(`its actual state can't be read: ${oneLine(why.failed)}`)}`];
  if (why.closed !== undefined) return [`${head}: ${colors.yellow(`nothing may be removed there now: ${oneLine(why.closed)}`)}`];
  if (why.reconciled_by !== undefined)
    return [`${head}: left to node ${oneLine(why.reconciled_by)}, which leads the site and reconciles it: ask there`];
  const stays = kept.flatMap(({ subject, detail }) => [`  ${colors.yellow('stays')}  ${oneLine(subject)}`, `      ${oneLine(detail)}`]);
  if (actions.length === 0) return [`${head}: nothing to remove`, ...stays];
  const lines = actions.flatMap((action) => [
    ...formatChange(io, action),
    ...(action.detail === undefined ? [] : [`      ${oneLine(action.detail)}`]),
    `      ${formatEvidence(colors, action.evidence)}`,
    ...formatUse(colors, action.evidence),
  ]);
  return [`${head}:`, ...lines, ...stays];
}

const UNITS: Record<Holding, readonly [one: string, many: string]> = {
  objects: ['object', 'objects'],
  older_versions: ['older version', 'older versions'],
  unfinished_uploads: ['unfinished upload', 'unfinished uploads'],
  bytes: ['byte', 'bytes'],
  messages: ['message', 'messages'],
  unacked: ['message handed out', 'messages handed out'],
};

function formatEvidence(colors: Colors, { empty, unguarded, holds, at_least }: PruneEvidence): string {
  if (unguarded === true) return colors.yellow('empty now, but what comes to it just as it goes is lost with it');
  if (empty) return colors.green('nothing is lost by it');
  const parts = Object.entries(UNITS).flatMap(([name, [one, many]]) => {
    // The keys of UNITS are those of Holding, which Object.entries forgets.
    const count = holds[name as Holding] ?? 0;
    return count === 0 ? [] : [`${count} ${count === 1 ? one : many}`];
  });
  return colors.red(`holds ${at_least === true ? 'at least ' : ''}${parts.join(', ')}`);
}

/** Who would miss it, as far as its broker tells. */
function formatUse(colors: Colors, { used, use }: PruneEvidence): string[] {
  if (use === undefined) return [];
  const { consumers, lately, unread } = use;
  const attached = consumers === 0 ? [] : [`${consumers} ${consumers === 1 ? 'consumer is' : 'consumers are'} attached, so it stays`];
  const signs = [...attached, ...(lately === undefined ? [] : [formatTraffic(lately)])].join('; ');
  const found = used === true ? [colors.red(`      in use: ${signs}`)] : signs === '' ? [] : [`      not in use: ${signs}`];
  return [...found, ...(unread === undefined ? [] : [colors.yellow(`      perhaps in use: ${oneLine(unread)}`)])];
}

function formatTraffic({ seconds, came, taken, asked_in_vain }: NonNullable<QueueUse['lately']>): string {
  const asked = asked_in_vain === 0 ? '' : `, and ${asked_in_vain} times somebody asked for one in vain`;
  return `in the last ${Math.round(seconds / 60)} minutes ${plural(came, 'message')} came and ${taken} went out${asked}`;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

const WORDS: Record<PruneOutcome, string> = { applied: 'done', kept: 'stays', failed: 'failed', not_tried: 'not tried' };

/** How each action ended. */
export function formatResult(io: Io, { results, approved_by }: PruneResult): string[] {
  const colors = colorsFor(io);
  const paint = (outcome: PruneOutcome) => {
    if (outcome === 'applied') return colors.green(WORDS[outcome]);
    return outcome === 'failed' ? colors.red(WORDS[outcome]) : colors.yellow(WORDS[outcome]);
  };
  const lines = results.map(({ component, backend, kind, subject, outcome, message }) => {
    const why = message === undefined ? '' : `: ${oneLine(message)}`;
    return `  ${paint(outcome)}  ${component} (${oneLine(backend)})  ${oneLine(subject)}  ${colors.dim(oneLine(kind))}${why}`;
  });
  const done = results.filter(({ outcome }) => outcome === 'applied').length;
  return [...lines, `${done} of ${results.length} done, approved by ${oneLine(approved_by)}`];
}
