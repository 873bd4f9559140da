import { describe, expect, test } from 'vitest';
import type { QueueTraffic, QueueUse } from '../../../shared/ports/event-bus.ts';
import { outcomes } from '../../support/prune-world.ts';
import { shrunk } from './prune.fixture.ts';

const QUIET: QueueTraffic = { seconds: 600, came: 0, taken: 0, asked_in_vain: 0 };
const SUBJECT = 'queue frames';

/** A world in which the broker says `use` of each queue. */
async function worldWith(use: QueueUse) {
  const world = await shrunk();
  const told = { use };
  world.backends.bus.queueUse = async () => told.use;
  const evidence = async () =>
    (await world.preview()).components.flatMap(({ actions }) => actions).find(({ subject }) => subject === SUBJECT)?.evidence;
  return { world, told, evidence };
}

describe('who uses a queue that would go', () => {
  test.each([
    ['takes messages one by one', { consumers: 0, lately: { ...QUIET, taken: 3 } }],
    ['asks for messages in vain', { consumers: 0, lately: { ...QUIET, asked_in_vain: 1 } }],
    ['is a consumer', { consumers: 1, unread: 'nobody can tell more' }],
  ])('is shown, and keeps it unless that is approved: who %s', async (_, use) => {
    const { world, evidence } = await worldWith(use);
    expect(await evidence()).toEqual({ empty: true, used: true, use, holds: { messages: 0, unacked: 0 } });
    const answer = await world.approve(await world.preview());
    expect(outcomes(answer)).toMatchObject({ 'remove-queue queue frames': 'kept' });
    const { results } = answer as { results: { subject: string; message?: string }[] };
    expect(results.find(({ subject }) => subject === SUBJECT)?.message).toContain('somebody uses it');
    expect(outcomes(await world.approve(await world.preview(), true))).toMatchObject({ 'remove-queue queue frames': 'applied' });
  });

  test('messages that come and go nowhere are no use', async () => {
    const { world, evidence } = await worldWith({ consumers: 0, lately: { ...QUIET, came: 5 } });
    expect(await evidence()).not.toHaveProperty('used');
    expect(outcomes(await world.approve(await world.preview()))).toMatchObject({ 'remove-queue queue frames': 'applied' });
  });

  test('what another program holds unsettled counts as content', async () => {
    const { evidence } = await worldWith({ consumers: 0, unacked: 2, lately: QUIET });
    expect(await evidence()).toMatchObject({ empty: false, holds: { messages: 0, unacked: 2 } });
  });

  test('what was approved as unused and is used since is another diff', async () => {
    const { world, told } = await worldWith({ consumers: 0, lately: QUIET });
    const preview = await world.preview();
    told.use = { consumers: 0, lately: { ...QUIET, came: 9 } };
    expect((await world.preview()).hash).toBe(preview.hash);
    told.use = { consumers: 0, lately: { ...QUIET, taken: 1 } };
    expect(await world.approve(preview, true)).toMatchObject({ refused: { code: 'prune_changed' } });
  });
});
