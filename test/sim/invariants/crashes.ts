import type { Invariant } from './invariant.ts';

/** Messages that a node logs only when its own code has failed. */
const FAULTS = ['discovery ended by a fault of its own', 'an apply was broken off', 'a request failed', 'what listens for adverts failed'];

/** Nothing that others say or do ends a node, nor breaks a part of it. */
export const nothingCrashesANode: Invariant = ({ broken }) => ({
  onLog(who, level, message) {
    if (level === 'error' && FAULTS.some((fault) => message.startsWith(fault))) broken('nothing crashes a node', `${who}: ${message}`);
  },
  onEnd({ name, wasAsked }) {
    if (!wasAsked) broken('nothing crashes a node', `${name} has ended by itself`);
  },
});
