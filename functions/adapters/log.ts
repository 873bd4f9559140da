import type { Log, LogFields } from '../../shared/ports/log.ts';

/** One JSON object a line, which Workers Logs indexes by field. */
export function workerLog(inherited: LogFields = {}): Log {
  const write =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: LogFields = {}) => {
      // biome-ignore lint/suspicious/noConsole: the console is the log of a Worker
      console[level](JSON.stringify({ level, message, ...inherited, ...fields }));
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => workerLog({ ...inherited, ...fields }),
  };
}
