import type { Start } from './harness.ts';
import { leaderCases } from './leader.cases.ts';
import { nodeCases } from './nodes.cases.ts';

/** The whole suite of the API, in the order of the files. Each runtime runs all of it. */
export function apiCases(start: Start): void {
  nodeCases(start);
  leaderCases(start);
}
