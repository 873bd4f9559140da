import type { Invariant } from './invariants/invariant.ts';

/** Counts which states the nodes of a world were in, and which ways through the code were taken. */
export const coverage: Invariant = ({ count }) => {
  const last = new Map<string, string>();
  return {
    onState({ name }, { phase, role, source, leads, provisional, confirmed }) {
      const now = `${phase} ${role} ${source} ${leads} ${provisional} ${confirmed}`;
      if (last.get(name) === now) return;
      last.set(name, now);
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
