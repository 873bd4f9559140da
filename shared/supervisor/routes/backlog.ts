import * as z from 'zod';
import { EnvironmentComponentName } from '../../contract/backlog.ts';
import {
  BacklogConflicts,
  BacklogMove,
  BacklogMoved,
  ConflictDecision,
  ConflictId,
  ConflictResolved,
} from '../../contract/backlog-conflict.ts';
import type { ConflictHandler, Context } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { describeCaller, refusePassedOn } from './own-calls.ts';

const PATH = '/v1/backlog/conflicts';
const OF_ITSELF = 'what did not go over is asked of the node that keeps it';
/** Each is read on both sides. */
const MOST = 200;

/** About the node that is asked, and never passed on: what waits lies on its disk. */
export function backlogRoutes({ options: { conflicts } }: Context): Route[] {
  return conflicts === undefined ? [] : [list(conflicts), resolve(conflicts), move(conflicts)];
}

function list(conflicts: ConflictHandler): Route {
  return route('viewer', {
    method: 'get',
    path: PATH,
    tag: 'backlog',
    summary: 'What was kept while an external was away and did not go over, since the external holds something else or refuses it',
    query: z.object({
      component: EnvironmentComponentName.optional(),
      limit: z.coerce.number().int().min(1).max(MOST).default(50),
      after: ConflictId.optional(),
      id: ConflictId.optional().meta({ description: 'This one alone' }),
    }),
    answers: { 200: { description: 'Both sides of each; `next` is there when more follow.', schema: BacklogConflicts } },
    problems: ['misdirected'],
    async handle({ request, query: { component, limit, after, id } }) {
      refusePassedOn(request, OF_ITSELF);
      return json(
        await conflicts.list({
          limit,
          ...(component === undefined ? {} : { component }),
          ...(after === undefined ? {} : { after }),
          ...(id === undefined ? {} : { id }),
        }),
      );
    },
  });
}

function resolve(conflicts: ConflictHandler): Route {
  return route('operator', {
    method: 'post',
    path: `${PATH}/resolve`,
    tag: 'backlog',
    summary: 'Ends one: gives ours up, or lets ours take the place of exactly what was shown of the external',
    body: ConflictDecision,
    answers: { 200: { description: 'What was done.', schema: ConflictResolved } },
    problems: ['no_such_conflict', 'conflict_changed', 'conflict_stays', 'backend_away', 'misdirected'],
    async handle({ caller, body, request }) {
      refusePassedOn(request, OF_ITSELF);
      const answer = await conflicts.resolve(body, describeCaller(caller));
      if ('refused' in answer) throw new ProblemError(answer.refused.code, answer.refused.detail);
      return json(answer);
    },
  });
}

function move(conflicts: ConflictHandler): Route {
  return route('operator', {
    method: 'post',
    path: '/v1/backlog/move',
    tag: 'backlog',
    summary: 'Lets what waits for an external that is configured no more go to the one of now',
    body: BacklogMove,
    answers: { 200: { description: 'How many move.', schema: BacklogMoved } },
    problems: ['misdirected'],
    async handle({ caller, body, request }) {
      refusePassedOn(request, OF_ITSELF);
      return json(await conflicts.move(body, describeCaller(caller)));
    },
  });
}
