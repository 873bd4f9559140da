import { createHash, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { PROBLEM_JSON, type ProblemCode, problem } from '../shared/contract/problem.ts';
import type { Untold } from '../shared/discovery/types.ts';
import type { Handler } from './http-server.ts';

/** What a node does only for those who are on its machine and hold its fleet key. */
export const LEAVE_PATH = '/v1/node/leave';
const UNTOLD = ['copy', 'alone'] as const satisfies readonly Untold[];
/** `untold`: why nobody is told of it. `copy`: another machine runs as this node. `alone`: it follows nobody. Absent where somebody is told. */
export const LeaveAnswer = z.object({ node_id: z.string(), leaving: z.literal(true), untold: z.enum(UNTOLD).optional() });
export type LeaveAnswer = z.infer<typeof LeaveAnswer>;

export interface NodeControlParts {
  readonly node_id: string;
  readonly fleetKey: string;
  /** Answers everything else. */
  readonly answer: Handler;
  /** Leaves the fleet in order and ends; how that goes is told elsewhere. */
  leave(): void;
  /** Why `leave` would tell nobody now. */
  untold(): Untold | undefined;
}

/** Commands to the node itself, in front of everything that may be passed on to a leader. */
export function createNodeControl({ node_id, fleetKey, answer, leave, untold }: NodeControlParts): Handler {
  return (request, from) => {
    if (!request.url.endsWith(LEAVE_PATH) || new URL(request.url).pathname !== LEAVE_PATH) return answer(request, from);
    if (request.method !== 'POST') return refuse('method_not_allowed', 'POST it', { allow: 'POST' });
    if (!from.here) return refuse('forbidden', 'a node leaves only when it is told so on its own machine');
    if (!isKey(request.headers.get('authorization'), fleetKey)) {
      return refuse('unauthenticated', "this takes the fleet key of the node's own directory", { 'www-authenticate': 'Bearer' });
    }
    const why = untold();
    leave();
    const told: LeaveAnswer = { node_id, leaving: true, ...(why === undefined ? {} : { untold: why }) };
    return Response.json(told, { status: 202 });
  };
}

/** In time that does not depend on how much of it is right. */
function isKey(authorization: string | null, fleetKey: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(authorization?.replace(/^bearer +/i, '') ?? ''), hash(fleetKey));
}

function refuse(code: ProblemCode, detail: string, headers: Readonly<Record<string, string>> = {}): Response {
  const body = problem(code, detail);
  return new Response(JSON.stringify(body), { status: body.status, headers: { 'content-type': PROBLEM_JSON, ...headers } });
}
