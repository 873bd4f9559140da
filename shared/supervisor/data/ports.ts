import type { EventBus } from '../../ports/event-bus.ts';
import type { ObjectStorage } from '../../ports/object-storage.ts';
import type { VectorIndex } from '../../ports/vector-index.ts';

/** What stands behind the data API of a node. It knows the ports and not what is behind them. */
export interface DataPorts {
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  /** True for a request that came from the node's own machine. */
  isFromHere(request: Request): boolean;
}
