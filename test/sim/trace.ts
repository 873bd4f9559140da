import { createHash } from 'node:crypto';
import type { Log, LogFields } from '../../shared/ports/log.ts';
import type { Timeline } from './timeline.ts';

/** `step`: what a reader of a transcript wants, warnings among them. `log`: what nodes log beside that. `wire`: every request and answer; kept only on demand. */
export type TraceLevel = 'step' | 'log' | 'wire';

export interface TraceLine {
  readonly at: number;
  readonly who: string;
  readonly level: TraceLevel;
  readonly text: string;
}

/** Lines are hashed so many characters at a time: to hash each by itself costs as much again. */
const BLOCK = 16_384;

/** Everything that happened in a world, in order. The hash covers each line, kept or not: two runs of a seed must have the same. */
export class Trace {
  readonly lines: TraceLine[] = [];
  readonly #timeline: Timeline;
  readonly #hash = createHash('sha256');
  /** What is not hashed yet. */
  #block = '';
  readonly #kept: ReadonlySet<TraceLevel>;
  /** Ids that are long and say nothing, by the short names that stand for them in the lines. */
  readonly #names = new Map<string, string>();

  constructor(timeline: Timeline, kept: readonly TraceLevel[] = []) {
    this.#timeline = timeline;
    this.#kept = new Set(kept);
  }

  /** From now on lines show `name` where they would have `id`. */
  rename(id: string, name: string): void {
    this.#names.set(id, name);
  }

  add(who: string, level: TraceLevel, text: string): void {
    const at = this.#timeline.now;
    this.#block += `${at} ${who} ${text}\n`;
    if (this.#block.length >= BLOCK) this.#hashBlock();
    if (this.#kept.has(level)) this.lines.push({ at, who, level, text: this.#named(text) });
  }

  get digest(): string {
    this.#hashBlock();
    return this.#hash.copy().digest('hex');
  }

  /** The kept lines as people read them. */
  render(levels: readonly TraceLevel[] = ['step', 'log', 'wire']): string {
    const shown = this.lines.filter(({ level }) => levels.includes(level));
    return shown.map(({ at, who, text }) => `${(at / 1000).toFixed(3).padStart(8)}  ${who.padEnd(8)} ${text}`).join('\n');
  }

  #hashBlock(): void {
    this.#hash.update(this.#block);
    this.#block = '';
  }

  #named(text: string): string {
    let named = text;
    for (const [id, name] of this.#names) named = named.replaceAll(id, name);
    return named;
  }
}

/** The log of one node as lines of the trace. */
export function tracingLog(trace: Trace, who: string, onLine: (level: string, message: string) => void, inherited: LogFields = {}): Log {
  const write =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      onLine(level, message);
      trace.add(
        who,
        level === 'warn' || level === 'error' ? 'step' : 'log',
        `${level}: ${message}${renderFields({ ...inherited, ...fields })}`,
      );
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => tracingLog(trace, who, onLine, { ...inherited, ...fields }),
  };
}

function renderFields(fields: LogFields): string {
  const shown = Object.entries(fields).filter(([name]) => name !== 'duration_ms' && name !== 'step');
  return shown
    .map(
      ([name, value]) => ` ${name}=${value instanceof Error ? value.message : typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    .join('');
}
