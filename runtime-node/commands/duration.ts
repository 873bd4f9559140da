import { CommandError } from './errors.ts';
import { oneLine } from './format.ts';

const SECONDS = { s: 1, min: 60, h: 3_600, d: 86_400, y: 365 * 86_400 } as const;

/** `1y` (365 days), `90d`, `12h`, `30min` or `45s` as whole seconds. Throws `CommandError` that names the flag. */
export function parseDuration(flag: string, text: string): number {
  const [, number, unit] = /^(\d{1,9})(s|min|h|d|y)$/.exec(text) ?? [];
  if (number === undefined || unit === undefined) {
    throw new CommandError('usage', `${flag} is "${oneLine(text)}"`, 'Give a number and its unit: 1y, 90d, 12h, 30min or 45s.');
  }
  // The expression has matched one of these units.
  return Number(number) * SECONDS[unit as keyof typeof SECONDS];
}

/** A whole number from 1 on. Throws `CommandError` that names the flag. */
export function parseWhole(flag: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new CommandError('usage', `${flag} is "${oneLine(text)}"`, 'Give a whole number from 1 on.');
}
