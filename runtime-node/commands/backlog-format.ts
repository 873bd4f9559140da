import type { BacklogConflict, BacklogConflicts } from '../../shared/contract/backlog-conflict.ts';
import { formatAge, formatValue, oneLine } from './format.ts';
import { type Colors, colorsFor, type Io } from './io.ts';

const SHORT_HASH = 12;

/** Each conflict with both sides, and how it ends. */
export function formatConflicts(io: Io, found: BacklogConflicts): string[] {
  const { conflicts, externals, next, elsewhere = [] } = found;
  const stranded = elsewhere.length === 0 ? [] : [...formatElsewhere(found), 'To let it go to the one of now: bootplane backlog move'];
  if (conflicts.length === 0) return ['no conflicts: nothing that waited was refused', ...stranded];
  const lines = conflicts.flatMap((one) => [...formatConflict(io, one, externals[one.component]), '']);
  return [
    ...lines,
    ...(next === undefined ? [] : [`There are more: bootplane backlog --after ${next}`]),
    'To give ours up:               bootplane backlog resolve ID --keep external',
    'To let ours take that place:   bootplane backlog resolve ID --keep ours',
    ...stranded,
  ];
}

/** What waits for addresses that are configured no more. */
export function formatElsewhere({ elsewhere = [], externals }: Pick<BacklogConflicts, 'elsewhere' | 'externals'>): string[] {
  return elsewhere.map(({ component, identity, waiting }) =>
    oneLine(
      `${component}: ${waiting} ${waiting === 1 ? 'waits' : 'wait'} for ${identity}; configured is ${externals[component] ?? 'none'}`,
    ),
  );
}

export function formatConflict(io: Io, conflict: BacklogConflict, external = 'the external'): string[] {
  const colors = colorsFor(io);
  const { id, component, since, reason, theirs } = conflict;
  const age = since === undefined ? '' : `, ${formatAge(io, since)}`;
  return [
    `${colors.bold(id)}  ${component}: ${nameOf(conflict)}${age}`,
    `      ${oneLine(reason)}`,
    `      ours      ${formatOurs(io, colors, conflict)}`,
    ...(theirs === undefined ? [] : [`      external  ${formatTheirs(io, colors, theirs)} (${oneLine(external)})`]),
  ];
}

/** What it is about, on one line. */
export function nameOf({ kind, place, key }: BacklogConflict): string {
  if (kind === 'object') return oneLine(`object ${place}/${key}`);
  if (kind === 'vector') return oneLine(`vector ${key} of class ${place}`);
  return kind === 'message' ? oneLine(`message ${key} of queue ${place}`) : `${kind} ${formatValue(JSON.parse(key))}`;
}

function formatOurs(io: Io, colors: Colors, { ours }: BacklogConflict): string {
  if (ours.deleted === true) return 'was deleted here';
  if (ours.missing === true) return colors.yellow('is not in the embedded default any more');
  return formatContent(io, ours);
}

function formatTheirs(io: Io, colors: Colors, theirs: NonNullable<BacklogConflict['theirs']>): string {
  if (theirs.holds === 'unknown') return colors.yellow(`can't be read now: ${oneLine(theirs.why)}`);
  return theirs.holds ? formatContent(io, theirs) : 'holds nothing there';
}

function formatContent(io: Io, { size, hash, modified_at }: BacklogConflict['ours']): string {
  const parts = [
    ...(size === undefined ? [] : [size === 1 ? '1 byte' : `${size} bytes`]),
    ...(hash === undefined ? [] : [`sha256 ${hash.slice(0, SHORT_HASH)}…`]),
    ...(modified_at === undefined ? [] : [`written ${formatAge(io, modified_at)}`]),
  ];
  return parts.length === 0 ? 'as it was declared' : parts.join(', ');
}
