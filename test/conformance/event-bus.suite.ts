import { afterAll, beforeAll, describe, it } from 'vitest';
import { consumerCases } from './event-bus.consumers.ts';
import { type BusHarness, busSuite } from './event-bus.context.ts';
import { lifetimeCases } from './event-bus.lifetimes.ts';
import { messageCases } from './event-bus.messages.ts';
import { removalCases } from './event-bus.removals.ts';
import { routingCases } from './event-bus.routing.ts';
import { topologyCases } from './event-bus.topology.ts';

export type { BusHarness };

/**
 * The promises of shared/ports/event-bus.ts. Runs unchanged against each backend: every test uses
 * names of its own, and what a backend cannot do (`capabilities`) is tested as a refusal.
 */
export function eventBusSuite(name: string, makeHarness: () => Promise<BusHarness>): void {
  let harness: BusHarness;
  const suite = busSuite(() => harness);
  const { refused } = suite;

  describe(`event bus: ${name}`, () => {
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.dispose());

    topologyCases(suite);
    routingCases(suite);
    messageCases(suite);
    lifetimeCases(suite);
    consumerCases(suite);
    removalCases(suite);

    it('refuses calls after close, and closes twice without error', async () => {
      const other = await makeHarness();
      await other.bus.close();
      await other.bus.close();
      await refused(other.bus.receive('any'), 'failed');
      await refused(other.bus.publish({ exchange: '', key: 'any', body: new Uint8Array(), message_id: 'm' }), 'failed');
      await other.dispose();
    });
  });
}
