import type { Log } from '../ports/log.ts';
import type { FailureAction } from './failure.ts';

export interface FailureRecord {
  note(kind: string, action: FailureAction, message: string): void;
  clear(kind: string): void;
}

/**
 * Tells the trouble with each kind of call once, until a call of that kind works again: one that
 * works says nothing about another that does not.
 */
export function createFailureRecord(waits: Map<string, string>, log: Log, control_plane_url: string): FailureRecord {
  const told = new Map<string, string>();
  return {
    note(kind, action, message) {
      waits.set(`call ${kind}`, message);
      if (told.get(kind) === message) return;
      const isKnown = [...told.values()].includes(message);
      told.set(kind, message);
      if (isKnown) return;
      const level = action === 'duplicate' || action === 'defect' ? 'error' : 'warn';
      log[level](message, { control_plane_url, call: kind, action });
    },
    clear(kind) {
      waits.delete(`call ${kind}`);
      if (told.delete(kind) && told.size === 0) log.info(`${control_plane_url} answers again`, { control_plane_url });
    },
  };
}
