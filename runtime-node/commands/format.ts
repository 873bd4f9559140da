import { stripVTControlCharacters } from 'node:util';
import { fromTimestamp } from '../../shared/contract/ids.ts';
import type { Colors, Io } from './io.ts';

const UNITS = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
] as const;

/** The two largest units of a duration, as `2 h 5 min`; `0 s` below a second. */
export function formatDuration(milliseconds: number): string {
  let seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts: string[] = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.length === 0 ? '0 s' : parts.join(' ');
}

/** How long ago a timestamp of the wire is. A clock that is ahead is shown as such. */
export function formatAge(io: Io, timestamp: string): string {
  const age = io.now() - fromTimestamp(timestamp);
  if (Number.isNaN(age)) return '?';
  return age < -1_000 ? `in ${formatDuration(-age)}` : `${formatDuration(age)} ago`;
}

const GOOD = new Set(['ok', 'applied', 'unchanged', 'running', 'online', 'present', 'add']);
const BAD = new Set(['failed', 'lost', 'fail', 'unhealthy', 'destroy']);

/** A word of the wire in the colour of what it means. */
export function colorState(colors: Colors, word: string): string {
  if (GOOD.has(word)) return colors.green(word);
  return BAD.has(word) ? colors.red(word) : colors.yellow(word);
}

/** One line that can't disturb a terminal: text of services and of other nodes may hold anything. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it takes out
  return stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}

/** A value of a document on one line, shortened. */
export function formatValue(value: unknown, limit = 160): string {
  const text = oneLine(JSON.stringify(value) ?? 'undefined');
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
