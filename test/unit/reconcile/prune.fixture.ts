import type { PruneAnswer } from '../../../shared/contract/prune.ts';
import { pruneWorld } from '../../support/prune-world.ts';

export const FULL = {
  storage: {
    buckets: [
      { name: 'captures', tags: { team: 'vision' }, lifecycle: [{ id: 'old', prefix: 'raw/', expire_days: 30 }] },
      { name: 'reports', tags: { team: 'vision', keep: 'yes' }, lifecycle: [{ id: 'old', expire_days: 30 }] },
    ],
  },
  broker: {
    exchanges: [
      { name: 'events', type: 'topic' as const },
      { name: 'dead', type: 'fanout' as const },
    ],
    queues: [{ name: 'frames', dlx: 'dead' }, { name: 'stays' }],
    bindings: [{ exchange: 'events', queue: 'frames', key: 'a' }],
  },
  vector: { classes: [{ name: 'Frame', dimensions: 2 }, { name: 'Kept' }] },
};
/** What is left of it. */
export const LESS = {
  storage: { buckets: [{ name: 'reports', tags: { team: 'vision' } }] },
  broker: { queues: [{ name: 'stays' }] },
  vector: { classes: [{ name: 'Kept' }] },
};
export const LEAVING = [
  'remove-binding binding events to frames "a"',
  'remove-queue queue frames',
  'remove-exchange exchange events',
  'remove-exchange exchange dead',
  'remove-lifecycle-rule lifecycle rule old of bucket reports',
  'remove-tag tag keep of bucket reports',
  'remove-bucket bucket captures',
  'remove-class class Frame',
];

export async function shrunk(...given: Parameters<typeof pruneWorld>) {
  const world = pruneWorld(...given);
  await world.apply(FULL);
  await world.apply(LESS);
  return world;
}

export const code = (answer: PruneAnswer) => ('refused' in answer ? answer.refused.code : undefined);
export const bytes = (text: string) => new TextEncoder().encode(text);

export function everything({ backends }: Awaited<ReturnType<typeof shrunk>>) {
  const { exchanges, queues, bindings } = backends.bus.everything();
  return { exchanges: exchanges.map(({ name }) => name), queues: queues.map(({ name }) => name), bindings: bindings.length };
}
