import type { Component } from '../contract/status.ts';
import type { Log } from '../ports/log.ts';
import type { Report } from '../reconcile/types.ts';

export interface Refusal {
  /** What it is about: a later refusal of the same topic replaces this one. */
  readonly topic: string;
  readonly component: Component;
  readonly action: string;
  readonly message: string;
  readonly generation?: number | undefined;
  readonly hash?: string | undefined;
}

/** What was refused and left everything as it was. Each is told once, until it clears or changes. */
export interface Refusals {
  refuse(refusal: Refusal): void;
  clear(topic: string): void;
  /** What stands of a topic, in words. */
  of(topic: string): string | undefined;
  /** What stands now, in words. */
  messages(): string[];
}

export function createRefusals(node_id: string, report: Report, log: Log): Refusals {
  const standing = new Map<string, string>();
  return {
    refuse({ topic, component, action, message, generation, hash }) {
      if (standing.get(topic) === message) return;
      standing.set(topic, message);
      log.warn(message, { component, action, generation, hash });
      const version = { ...(generation === undefined ? {} : { generation }), ...(hash === undefined ? {} : { hash }) };
      report({ node_id, component, action, status: 'skipped', message: message.slice(0, 4096), ...version });
    },
    clear: (topic) => void standing.delete(topic),
    of: (topic) => standing.get(topic),
    messages: () => [...standing.values()],
  };
}
