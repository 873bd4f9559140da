import type { BacklogStatus } from '../../contract/backlog.ts';
import type { Backlog } from '../../ports/backlog.ts';
import type { Clock } from '../../ports/clock.ts';
import type { EventBus } from '../../ports/event-bus.ts';
import type { Log } from '../../ports/log.ts';
import type { ObjectStorage } from '../../ports/object-storage.ts';
import type { Random } from '../../ports/random.ts';
import type { VectorIndex } from '../../ports/vector-index.ts';
import type { ConflictDesk } from './conflict-desk.ts';
import type { OtherExternals } from './other-externals.ts';

/**
 * A port with an external behind it and an embedded default that takes what is written while the external is away. What
 * waits goes over when it answers again.
 */
export interface FallForward<Port> {
  /** What the rest of the node uses. Its backend and capabilities are those of the external. */
  readonly port: Port;
  readonly external: Port;
  /** Brought to the profile by each node for itself, whether the external answers or not. */
  readonly fallback: Port;
  status(): BacklogStatus;
  /** Probes the external and lets go over what waits, until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  readonly others: OtherExternals;
  /** What did not go over, for a person to end. */
  readonly conflicts: ConflictDesk;
  /** The environment of the external was brought to the profile: what waited for that goes over now. */
  wake(): void;
}

/** Of the components with an external. */
export interface Forwards {
  readonly storage?: FallForward<ObjectStorage>;
  readonly broker?: FallForward<EventBus>;
  readonly vector?: FallForward<VectorIndex>;
}

export interface ForwardDeps<Port> {
  readonly external: Port;
  readonly fallback: Port;
  readonly backlog: Backlog;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of each change of what `status` says, and of each conflict once. Never throws. */
  readonly tell?: (event: ForwardEvent) => void;
}

/** `moved`: the presence is another one now. `conflict`: the place of something that waited was taken by something else. */
export interface ForwardEvent {
  readonly kind: 'moved' | 'conflict';
  /** For people. */
  readonly message: string;
}
