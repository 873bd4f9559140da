import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, type Harness, register, type Start } from './harness.ts';

const NODES = 10;
/** Of each node; a thousand claims altogether. */
const CLAIMS = 100;

/** Many nodes claim one site's lease at the same time, over and over: whoever wins gives it back, lets it lapse, or starts anew. */
export function contentionCases(start: Start): void {
  describe('a lease that many contend for', () => {
    let harness: Harness;
    const ids = Array.from({ length: NODES }, (_, index) => `n${index}`);
    beforeEach(async () => {
      harness = await start();
      for (const id of ids) await register(harness, id);
    });
    afterEach(() => harness.close());

    it('has exactly one winner in each epoch of a thousand claims, and whoever lost is told of that winner', {
      timeout: 60_000,
    }, async () => {
      const won: { epoch: number; node_id: string }[] = [];
      const told: { epoch: number; node_id: string }[] = [];
      const claim = async (node_id: string, more = {}) =>
        (await call(harness, 'POST /v1/leader/claim', { body: { node_id, url: `http://${node_id}.test:1`, ...more } })).body;
      const endings = [
        (node_id: string, epoch: number) => call(harness, 'POST /v1/leader/release', { body: { node_id, epoch } }),
        (node_id: string) => harness.database.batch([{ sql: 'update leases set expires_at = 0 where node_id = ?', params: [node_id] }]),
        // A node that restarts, and forgot its epoch: the next claim is granted at a higher one.
        async () => undefined,
      ];
      const contend = async (node_id: string) => {
        for (let round = 0; round < CLAIMS; round += 1) {
          const { granted, epoch, ...lease } = await claim(node_id);
          (granted ? won : told).push({ epoch, node_id: lease.node_id });
          if (!granted) continue;
          expect(lease.node_id).toBe(node_id);
          const renewed = await claim(node_id, { epoch });
          expect(renewed).toMatchObject({ granted: true, epoch, node_id });
          await endings[won.length % endings.length]?.(node_id, epoch);
        }
      };
      await Promise.all(ids.map(contend));

      expect(won.length + told.length).toBe(NODES * CLAIMS);
      const winners = new Map(won.map(({ epoch, node_id }) => [epoch, node_id]));
      expect(winners.size, 'no epoch was granted twice').toBe(won.length);
      expect([...winners.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: won.length }, (_, index) => index + 1));
      for (const { epoch, node_id } of told) expect(winners.get(epoch)).toBe(node_id);
      expect(new Set(won.map(({ node_id }) => node_id)).size, 'more than one node has led').toBeGreaterThan(1);
    });
  });
}
