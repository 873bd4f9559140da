import type { Log, LogFields } from '../../shared/ports/log.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/** A log that keeps its lines for the test to read. */
export function recordingLog(lines: LogLine[] = [], inherited: LogFields = {}): Log & { readonly lines: LogLine[] } {
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ level, message, fields: { ...inherited, ...fields } });
    };
  return {
    lines,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => recordingLog(lines, { ...inherited, ...fields }),
  };
}
