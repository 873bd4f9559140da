import type { Watcher } from '../watcher.ts';
import type { World } from '../world.ts';

/** What always holds. One that is broken ends the run of its seed. */
export type InvariantName =
  | 'one confirmed leader'
  | 'only upwards'
  | 'no stale write'
  | 'nothing destroyed'
  | 'only what was signed runs'
  | 'no healthy service stopped'
  | 'never two copies on one node'
  | 'credentials only to the proved'
  | 'nothing crashes a node'
  | 'together again';

export class Broken extends Error {
  readonly invariant: InvariantName;
  constructor(invariant: InvariantName, message: string) {
    super(`${invariant}: ${message}`);
    this.name = 'Broken';
    this.invariant = invariant;
  }
}

export interface Judge {
  readonly world: World;
  /** To be called when an invariant is broken; the first one counts. */
  broken(invariant: InvariantName, message: string): void;
  /** Counts what was met: states, exceptions, ways through the code. */
  count(what: string): void;
}

export type Invariant = (judge: Judge) => Watcher;
