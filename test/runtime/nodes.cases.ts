import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, type Harness, heartbeat, registration, type Start } from './harness.ts';

export function nodeCases(start: Start): void {
  describe('nodes', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
    });
    afterEach(() => harness.close());

    it('registers a node, and its heartbeat is accepted', async () => {
      expect(await call(harness, 'POST /v1/nodes/register', { body: registration('a') })).toMatchObject({
        status: 200,
        body: { registered: true },
      });
      expect((await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') })).status).toBe(204);
    });

    it('answers the heartbeat of a node that never registered with unknown_node', async () => {
      const reply = await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('nobody') });
      expect(reply).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      expect(reply.headers.get('content-type')).toBe('application/problem+json');
    });
  });
}
