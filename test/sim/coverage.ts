import type { DiscoveryState } from '../../shared/discovery/types.ts';
import type { Invariant } from './invariants/invariant.ts';

const COUNTED = ['phase', 'role', 'source', 'leads', 'provisional', 'confirmed'] as const;

/** Counts which states the nodes of a world were in, and which ways through the code were taken. */
export const coverage: Invariant = ({ count }) => {
  const last = new Map<string, DiscoveryState>();
  return {
    onState({ name }, state) {
      const { phase, role, source, leads, provisional, confirmed } = state;
      const before = last.get(name);
      if (before !== undefined && COUNTED.every((part) => before[part] === state[part])) return;
      last.set(name, state);
      count(`phase ${phase}`);
      count(`role ${role}`);
      count(`source ${source ?? 'none'}`);
      if (leads) count(`leads ${confirmed ? 'confirmed' : provisional ? 'provisional' : 'without a cloud'}`);
    },
    onLog(_who, level, message) {
      if (level === 'warn' || level === 'error') count(`${level}: ${generalize(message)}`);
    },
  };
};

/** What is told of one node, URL or number is the same message with others in it. */
function generalize(message: string): string {
  return message
    .replaceAll(/https?:\/\/[^\s,;)]+/g, 'URL')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'NODE')
    .replaceAll(/\d+/g, 'N')
    .slice(0, 90);
}
