import { expect, it } from 'vitest';
import { PublishGate } from '../../../../shared/reconcile/fall-forward/bus-gate.ts';

const turns = () => new Promise((resolve) => setImmediate(resolve));

it('changes to the external only when nothing is under way to the fallback any more, and lets others wait meanwhile', async () => {
  const gate = new PublishGate(() => false);
  const said: string[] = [];
  const kept = Promise.withResolvers<string>();
  const first = gate.publish(
    async () => 'over',
    () => kept.promise,
  );
  await turns();
  const looked = Promise.withResolvers<boolean>();
  const switching = gate.switchOver(() => {
    said.push('looked');
    return looked.promise;
  });
  const second = gate.publish(
    async () => 'over',
    async () => 'kept',
  );
  await turns();
  expect(said).toEqual([]);
  kept.resolve('kept');
  await turns();
  expect(said).toEqual(['looked']);
  looked.resolve(true);
  expect(await switching).toBe(true);
  expect([await first, await second]).toEqual(['kept', 'over']);
});

it('keeps on keeping where something was left, or the external went away meanwhile', async () => {
  let isAway = false;
  const gate = new PublishGate(() => isAway);
  expect(await gate.switchOver(async () => false)).toBe(false);
  isAway = true;
  expect(await gate.switchOver(async () => true)).toBe(false);
  expect(gate.isOver).toBe(false);
});

it('does not go back to the external by itself once one was kept', async () => {
  let isAway = false;
  const gate = new PublishGate(() => isAway);
  const publish = () =>
    gate.publish(
      async () => 'over',
      async () => 'kept',
    );
  await gate.switchOver(async () => true);
  expect(await publish()).toBe('over');
  isAway = true;
  expect(await publish()).toBe('kept');
  isAway = false;
  expect(await publish()).toBe('kept');
  await gate.switchOver(async () => true);
  expect(await publish()).toBe('over');
});

it('tells each its own failure, and goes on', async () => {
  const gate = new PublishGate(() => false);
  await gate.switchOver(async () => true);
  const failing = gate.publish(
    async (): Promise<string> => {
      throw new Error('too large');
    },
    async () => 'kept',
  );
  await expect(failing).rejects.toThrow('too large');
  const answer = await gate.publish(
    async () => 'over',
    async () => 'kept',
  );
  expect(answer).toBe('over');
});
