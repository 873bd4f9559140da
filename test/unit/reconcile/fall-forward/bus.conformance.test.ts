import type { EventBus } from '../../../../shared/ports/event-bus.ts';
import { eventBusSuite } from '../../../conformance/event-bus.suite.ts';
import { type ForwardHarness, forwardHarness } from './bus.harness.ts';

async function present() {
  const harness = await forwardHarness();
  await harness.present();
  return { bus: harness.bus, elapse: (ms: number) => harness.clock.advance(ms), dispose: () => harness.dispose() };
}

/**
 * What the broker alone can say is asked of the embedded bus, and nothing here counts as nothing: all else is the port's own
 * while the broker is away.
 */
function answered({ bus, fallback }: ForwardHarness): EventBus {
  const awayIs = <Answer>(call: Promise<Answer>, answer: () => Promise<Answer>) =>
    call.catch((error) => (error.kind === 'backend_away' ? answer() : Promise.reject(error)));
  return {
    backend: bus.backend,
    capabilities: bus.capabilities,
    readTopology: (wanted) => awayIs(bus.readTopology(wanted), () => fallback.readTopology(wanted)),
    queueStats: (queue) => awayIs(bus.queueStats(queue), () => fallback.queueStats(queue)),
    queueUse: (queue) => awayIs(bus.queueUse(queue), () => fallback.queueUse(queue)),
    receive: (queue, options) => awayIs(bus.receive(queue, options), () => fallback.receive(queue)),
    publish: (message) => awayIs(bus.publish(message), () => fallback.publish(message)),
    consume: async (queue, handler, options) => {
      await fallback.queueStats(queue);
      return await bus.consume(queue, handler, options);
    },
    removeQueue: (queue, options) => awayIs(bus.removeQueue(queue, options), () => fallback.removeQueue(queue, options)),
    removeExchange: (exchange) => awayIs(bus.removeExchange(exchange), () => fallback.removeExchange(exchange)),
    removeBinding: (binding) => awayIs(bus.removeBinding(binding), () => fallback.removeBinding(binding)),
    ensureExchange: (exchange) => bus.ensureExchange(exchange),
    ensureQueue: (queue) => bus.ensureQueue(queue),
    ensureBinding: (binding) => bus.ensureBinding(binding),
    ensureConfirms: () => bus.ensureConfirms(),
    ack: (queue, token) => bus.ack(queue, token),
    reject: (queue, token, options) => bus.reject(queue, token, options),
    close: () => bus.close(),
  };
}

async function awayAllTheTime() {
  const harness = await forwardHarness({ isCut: true, broker: { deduplicates: true } });
  return { bus: answered(harness), elapse: (ms: number) => harness.clock.advance(ms), dispose: () => harness.dispose() };
}

eventBusSuite('an external that is present, with its embedded default', present);
eventBusSuite('an external that is away, with its embedded default', awayAllTheTime);
