import { eventBusSuite } from '../conformance/event-bus.suite.ts';
import { memoryEventBus } from '../support/memory-event-bus.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

function harness(capabilities: Parameters<typeof memoryEventBus>[1]) {
  return async () => {
    const clock = new SimulatedClock();
    const bus = memoryEventBus(clock, capabilities);
    return { bus, elapse: (ms: number) => clock.advance(ms), dispose: () => bus.close() };
  };
}

eventBusSuite('memory', harness({}));
eventBusSuite(
  'memory that can do as little as the port allows',
  harness({ alter_ttl: false, deduplicates: false, queue_types: ['classic'] }),
);
