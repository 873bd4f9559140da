import { DESIRED_HEADER, EPOCH_HEADER, formatDesired } from '../../contract/headers.ts';
import { HeartbeatRequest, RegisterAnswer, RegisterRequest } from '../../contract/node.ts';
import { requireSelf } from '../auth.ts';
import type { Context } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type Route, readToken, route } from '../route.ts';
import type { Current } from '../store/nodes.ts';

export function nodeRoutes(context: Context): Route[] {
  return [register(context), heartbeat(context)];
}

function register(context: Context): Route {
  return route('node', {
    method: 'post',
    path: '/v1/nodes/register',
    tag: 'nodes',
    summary: 'Registers a node, or takes its id over for a new instance',
    body: RegisterRequest,
    answers: { 200: { description: 'Registered.', schema: RegisterAnswer } },
    async handle({ caller, body }) {
      requireSelf(caller, body.node_id);
      await context.options.database.batch([context.nodes.register(caller.fleet, body)]);
      return json({ registered: true });
    },
  });
}

function heartbeat(context: Context): Route {
  return route('node', {
    method: 'post',
    path: '/v1/nodes/heartbeat',
    tag: 'nodes',
    summary: 'Refreshes the TTL of a node',
    body: HeartbeatRequest,
    answers: { 204: { description: 'Heard. The headers say who leads and which generations are current.' } },
    problems: ['unknown_node', 'duplicate_node', 'stale_epoch'],
    async handle({ caller, body, request }) {
      requireSelf(caller, body.node_id);
      const current = await context.nodes.heartbeat(caller.fleet, body, readToken(request));
      if (current === undefined) throw new ProblemError('unknown_node', `node ${body.node_id} is not registered here; register it first`);
      return empty(204, currentHeaders(current));
    },
  });
}

/** `Bootplane-Epoch` and `Bootplane-Desired`: who leads, and what is published. Left out while there is none. */
export function currentHeaders({ leader, plan, profile }: Current): Record<string, string> {
  const headers: Record<string, string> = {
    [DESIRED_HEADER]: formatDesired({ plan: plan ?? undefined, profile: profile ?? undefined }),
  };
  if (leader !== null) headers[EPOCH_HEADER] = leader;
  return headers;
}
