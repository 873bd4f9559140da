import { PrunePreview, PruneRequest, PruneResult } from '../../contract/prune.ts';
import type { Context, PruneHandler } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { describeCaller, refusePassedOn } from './own-calls.ts';

const PATH = '/v1/reconcile/prune';
const OF_ITSELF = 'what a node may remove is asked of that node itself';

/** About the node that is asked, and never passed on: what goes is approved for one node. */
export function pruneRoutes({ options: { prune } }: Context): Route[] {
  return prune === undefined ? [] : [preview(prune), run(prune)];
}

function preview(prune: PruneHandler): Route {
  return route('viewer', {
    method: 'get',
    path: PATH,
    tag: 'reconcile',
    summary: 'What this node made, the profile no longer names, and may be removed; removes nothing',
    answers: { 200: { description: 'The removals with evidence, and the hash that approves exactly these.', schema: PrunePreview } },
    problems: ['misdirected'],
    async handle({ request }) {
      refusePassedOn(request, OF_ITSELF);
      return json(await prune.preview());
    },
  });
}

function run(prune: PruneHandler): Route {
  return route('operator', {
    method: 'post',
    path: PATH,
    tag: 'reconcile',
    summary: 'Removes exactly what the hash of a preview names, while that still is what would be removed',
    body: PruneRequest,
    answers: { 200: { description: 'How each removal ended.', schema: PruneResult } },
    problems: ['prune_expired', 'prune_changed', 'prune_refused', 'misdirected'],
    async handle({ caller, body, request }) {
      refusePassedOn(request, OF_ITSELF);
      const answer = await prune.run(body, describeCaller(caller));
      if ('refused' in answer) throw new ProblemError(answer.refused.code, answer.refused.detail);
      return json(answer);
    },
  });
}
