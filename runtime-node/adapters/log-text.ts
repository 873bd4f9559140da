import type picocolors from 'picocolors';
import { toTimestamp } from '../../shared/contract/ids.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export type Colors = ReturnType<typeof picocolors.createColors>;

export interface Line {
  readonly level: Level;
  readonly message: string;
  /** Of the line itself. */
  readonly own: Readonly<Record<string, unknown>>;
  /** Added by `child`. */
  readonly inherited: Readonly<Record<string, unknown>>;
  readonly now_ms: number;
}

const NAME_WIDTH = 15;
const RESULT_WIDTH = 48;
const DURATION_WIDTH = 9;

/** The verb of an action says the kind, which is then not said again: `ensure-bucket bucket captures`. */
const KIND_TWICE = /^([a-z-]+-([a-z]+)) \2 (?=\S)/;

const MARKS: Record<Level, string> = { debug: '·', info: '✔', warn: '!', error: '✖' };

/**
 * True for what a person need not read: that a whole component is as it should be, or waits for its external, which its boot
 * step or its actions say already, and which a check for drift says again each minute.
 */
export function isRepetition({ level, message, own }: Pick<Line, 'level' | 'message' | 'own'>): boolean {
  if (own.action !== 'reconcile' || !('idempotency_key' in own)) return false;
  if (own.status === 'pending' && own.component !== 'services') return true;
  if (level !== 'info') return false;
  // What was changed by hand and is restored is told; a sum of the services' actions repeats their lines.
  return own.component === 'services' || message === `${own.component}: reconcile`;
}

/** One line for a person, without its line break. Control characters are shown, never obeyed. */
export function textLine(line: Line, colors: Colors): string {
  if (line.own.step === true) return stepLine(line, colors);
  return 'idempotency_key' in line.own ? actionLine(line, colors) : plainLine(line, colors);
}

/**
 * One action of a reconcile, below the steps: `  · storage       ensure-bucket captures                 2 ms  applied`.
 * Hash and idempotency key, which tell a person nothing, are in the JSON log.
 */
function actionLine({ level, message, own }: Line, colors: Colors): string {
  const {
    component,
    action,
    status,
    duration_ms,
    generation: _generation,
    hash: _hash,
    idempotency_key: _key,
    attempt: _attempt,
    ...rest
  } = own;
  const isPlain = message === `${component}: ${action}`;
  const parts = [
    `  ${painter(level, colors)(MARKS.debug)} `,
    visible(String(component)).padEnd(NAME_WIDTH - 2),
    ' ',
    visible(isPlain ? String(action).replace(KIND_TWICE, '$1 ') : message).padEnd(RESULT_WIDTH),
    colors.dim(` ${(typeof duration_ms === 'number' ? formatDuration(duration_ms) : '').padStart(DURATION_WIDTH)}`),
    `  ${painter(level, colors)(visible(String(status ?? '')))}`,
    pairs(rest) === '' ? '' : colors.dim(`  ${pairs(rest)}`),
  ];
  return parts.join('').trimEnd();
}

/** `✔ identify        node 0192… (new)                   2 ms`, then what other fields there are. */
function stepLine({ level, message, own }: Line, colors: Colors): string {
  const { step: _, result, duration_ms, ...rest } = own;
  const paint = painter(level, colors);
  const shown = visible(result === undefined ? '' : String(result));
  const duration = typeof duration_ms === 'number' ? formatDuration(duration_ms) : '';
  const fields = pairs(Object.fromEntries(Object.entries(rest).filter(([, value]) => !repeats(shown, value))));
  const parts = [
    paint(MARKS[level]),
    ' ',
    visible(message).padEnd(NAME_WIDTH),
    ' ',
    level === 'info' ? shown.padEnd(RESULT_WIDTH) : paint(shown.padEnd(RESULT_WIDTH)),
    colors.dim(` ${duration.padStart(DURATION_WIDTH)}`),
    fields === '' ? '' : colors.dim(`  ${fields}`),
  ];
  return parts.join('').trimEnd();
}

/** `12:00:01.250 warn  message key=value`, the time in UTC. */
function plainLine({ level, message, own, inherited, now_ms }: Line, colors: Colors): string {
  const paint = painter(level, colors);
  const fields = pairs({ ...inherited, ...own });
  const tail = fields === '' ? '' : ` ${colors.dim(fields)}`;
  return `${colors.dim(timeOfDay(now_ms))} ${paint(level.padEnd(5))} ${level === 'info' ? visible(message) : paint(visible(message))}${tail}`;
}

/** An id or URL that the result names already. */
function repeats(result: string, value: unknown): boolean {
  return typeof value === 'string' && value.length >= 8 && result.includes(value);
}

export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '';
  if (ms < 1) return '<1 ms';
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** A clock can show what no date can. */
function timeOfDay(nowMs: number): string {
  try {
    return toTimestamp(nowMs).slice(11, 23);
  } catch {
    return '??:??:??.???';
  }
}

function painter(level: Level, colors: Colors): (text: string) => string {
  if (level === 'error') return colors.red;
  if (level === 'warn') return colors.yellow;
  return level === 'debug' ? colors.dim : colors.green;
}

function pairs(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${visible(name)}=${valueText(value)}`)
    .join(' ');
}

/** Bare where that is unambiguous, else as JSON. */
function valueText(value: unknown): string {
  const text = isError(value) ? errorText(value) : value;
  if (typeof text !== 'string') return visible(JSON.stringify(text) ?? String(text));
  return /^[^\s"'=\p{Cc}]+$/u.test(text) ? visible(text) : visible(JSON.stringify(text));
}

interface ErrorFields {
  readonly message: string;
  readonly cause?: unknown;
}

function isError(value: unknown): value is ErrorFields {
  return typeof value === 'object' && value !== null && 'name' in value && 'message' in value && typeof value.message === 'string';
}

function errorText({ message, cause }: ErrorFields): string {
  return isError(cause) ? `${message} (${errorText(cause)})` : message;
}

/** A text from elsewhere must not move the cursor, forge a second line or change the colours. */
function visible(text: string): string {
  return text.replaceAll(
    /\p{Cc}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
