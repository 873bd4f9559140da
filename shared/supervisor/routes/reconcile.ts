import { ReconcileDiff } from '../../contract/reconcile.ts';
import type { Context } from '../context.ts';
import { json, type Route, route } from '../route.ts';

export function reconcileRoutes({ options: { reconcile_diff } }: Context): Route[] {
  if (reconcile_diff === undefined) return [];
  const diff = route('viewer', {
    method: 'get',
    path: '/v1/reconcile/diff',
    tag: 'reconcile',
    summary: 'What the next reconcile of this node would do; writes nothing',
    answers: { 200: { description: 'The actions by component, with their safety.', schema: ReconcileDiff } },
    handle: async () => json(await reconcile_diff()),
  });
  return [diff];
}
