import type { Clock } from '../../shared/ports/clock.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { ObjectStorage } from '../../shared/ports/object-storage.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { memoryEventBus } from '../support/memory-event-bus.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { memoryVectorIndex } from '../support/memory-vector-index.ts';
import { DatabaseFile } from './simulated-database.ts';

/** What a machine keeps when its power fails: all that was committed, and nothing that was on its way. */
export interface Disk {
  /** The small files by name. */
  readonly texts: Map<string, string>;
  readonly database: DatabaseFile;
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
}

export function emptyDisk(clock: Clock): Disk {
  return {
    texts: new Map(),
    database: DatabaseFile.migrated(),
    storage: memoryObjectStorage(clock),
    bus: memoryEventBus(clock),
    vector: memoryVectorIndex(),
  };
}

/** As an image of a machine is copied to another one: identity, cache and registry go along. */
export function cloneDisk(disk: Disk, clock: Clock): Disk {
  return { ...emptyDisk(clock), texts: new Map(disk.texts), database: disk.database.copy() };
}
