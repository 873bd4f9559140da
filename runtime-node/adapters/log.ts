import type { Writable } from 'node:stream';
import picocolors from 'picocolors';
import { toTimestamp } from '../../shared/contract/ids.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Log, LogFields } from '../../shared/ports/log.ts';
import { redactText, safeFields } from './log-fields.ts';
import { isRepetition, type Level, textLine } from './log-text.ts';

export interface NodeLogOptions {
  /** `text` for people, `json` (one object per line) for programs. */
  readonly format: 'text' | 'json';
  readonly clock: Pick<Clock, 'now'>;
  /** Default: standard output. */
  readonly stream?: Writable & { readonly isTTY?: boolean };
  /** The least that is written. Default `info`. */
  readonly level?: Level;
  /** Default: on a terminal that shows colours (NO_COLOR and FORCE_COLOR count). */
  readonly color?: boolean;
}

type WriteLine = (level: Level, message: string, own: Record<string, unknown>, inherited: Record<string, unknown>) => void;

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];

/**
 * The Log port on Node.
 *
 * Steps: `log.info('identify', { step: true, result: 'node 0192… (new)', duration_ms: 2 })` is one step of
 * the boot. As text it is a line with a mark (✔ info, ! warn, ✖ error), the step's name, its result and
 * its duration; other fields follow as `name=value`, those of `child` are left out. Every other line is
 * `time level message name=value …` with the fields of `child` first. As JSON both are objects with
 * `level`, `time` (RFC 3339 UTC), `message` and all fields.
 *
 * Fields named like a credential are replaced (`log-fields.ts`), at any depth. Nothing here throws: a log line
 * that can't be written is lost, and the node goes on, also when the reader of a pipe has gone.
 */
export function createNodeLog(options: NodeLogOptions): Log {
  const stream = options.stream ?? process.stdout;
  // Without a listener, the EPIPE of a closed pipe would end the process.
  stream.on('error', () => undefined);
  const least = LEVELS.indexOf(options.level ?? 'info');
  const write = options.format === 'json' ? jsonWriter(stream, options) : textWriter(stream, options);
  return logOver((level, ...line) => {
    if (LEVELS.indexOf(level) < least) return;
    try {
      write(level, ...line);
    } catch {
      // Never throws: see above.
    }
  }, {});
}

function logOver(write: WriteLine, inherited: LogFields): Log {
  const writeLevel =
    (level: Level) =>
    (message: string, fields: LogFields = {}) =>
      write(level, message, fields, inherited);
  return {
    debug: writeLevel('debug'),
    info: writeLevel('info'),
    warn: writeLevel('warn'),
    error: writeLevel('error'),
    child: (fields) => logOver(write, { ...inherited, ...fields }),
  };
}

function textWriter(stream: Writable & { readonly isTTY?: boolean }, { clock, color }: NodeLogOptions): WriteLine {
  const colors = picocolors.createColors(color ?? (stream.isTTY === true && picocolors.isColorSupported));
  return (level, message, own, inherited) => {
    if (isRepetition({ level, message, own })) return;
    const line = { level, message: redactText(message), own: safeFields(own), inherited: safeFields(inherited), now_ms: clock.now() };
    stream.write(`${textLine(line, colors)}\n`);
  };
}

/** Written here, since a library for it costs each start 35 ms and 9 MB, and the fields are made safe in any case. */
function jsonWriter(stream: Writable, { clock }: NodeLogOptions): WriteLine {
  return (level, message, own, inherited) => {
    const fields = withoutReserved(safeFields({ ...inherited, ...own }));
    const line = { level, time: timestampOf(clock.now()), ...fields, message: redactText(message) };
    stream.write(`${JSON.stringify(line)}\n`);
  };
}

/** A field must not stand in the object twice. */
function withoutReserved(fields: Record<string, unknown>): Record<string, unknown> {
  const reserved = ['level', 'time', 'message'];
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [reserved.includes(name) ? `${name}_` : name, value]));
}

/** A clock can show what no date can. */
function timestampOf(nowMs: number): string | null {
  try {
    return toTimestamp(nowMs);
  } catch {
    return null;
  }
}
