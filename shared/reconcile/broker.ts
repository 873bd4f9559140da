import type { BrokerProfile, EnvironmentProfile } from '../contract/profile.ts';
import type { EventBus, Topology, TopologyNames } from '../ports/event-bus.ts';
import { type Executors, plan } from './action.ts';
import type { BrokerActions } from './broker-actions.ts';
import { diffBroker } from './broker-diff.ts';
import type { EnvironmentComponent } from './component.ts';
import { type BackendMaker, marksOfBroker } from './ownership.ts';

/** How each safe action of the broker is done. */
export const brokerExecutors: Executors<BrokerActions, EventBus> = {
  'ensure-exchange': (bus, { exchange }) => bus.ensureExchange(exchange),
  'ensure-queue': (bus, { queue }) => bus.ensureQueue(queue),
  'compare-exchange': (bus, { exchange }) => bus.ensureExchange(exchange),
  'compare-queue': (bus, { queue }) => bus.ensureQueue(queue),
  'extend-queue-ttl': (bus, { queue }) => bus.ensureQueue(queue),
  'ensure-binding': (bus, { binding }) => bus.ensureBinding(binding),
  'enable-confirms': (bus) => bus.ensureConfirms(),
};

const NOTHING: Topology = { exchanges: [], queues: [], bindings: [], confirms: false };

/** The broker as a component of the environment. Reads nothing when the profile names nothing. `maker` keeps what it makes. */
export function brokerComponent(bus: EventBus, maker?: BackendMaker): EnvironmentComponent {
  return {
    component: 'broker',
    backend: bus.backend.kind,
    concurrency: bus.capabilities.concurrent_declarations,
    ...(bus.capabilities.shared ? { shared_identity: bus.backend.identity } : {}),
    async plan({ broker: desired }: Partial<EnvironmentProfile>) {
      const names = namesOf(desired);
      const actual = names === undefined ? NOTHING : await bus.readTopology(names);
      const actions = diffBroker(desired, actual, bus.capabilities);
      return plan<BrokerActions, EventBus>(actions, brokerExecutors, bus, async (action) => maker?.keep(marksOfBroker(action)));
    },
  };
}

function namesOf(desired: BrokerProfile | undefined): TopologyNames | undefined {
  const { exchanges = [], queues = [], bindings = [] } = desired ?? {};
  if (exchanges.length + queues.length + bindings.length === 0) return undefined;
  return {
    exchanges: unique([...exchanges.map(({ name }) => name), ...bindings.map(({ exchange }) => exchange)]),
    queues: unique([...queues.map(({ name }) => name), ...bindings.map(({ queue }) => queue)]),
    bindings,
  };
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
