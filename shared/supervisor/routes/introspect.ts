import { isKeyHolder } from '../../contract/fleet-keys.ts';
import { toTimestamp } from '../../contract/ids.ts';
import { IntrospectAnswer, IntrospectRequest } from '../../contract/introspect.ts';
import { readJwtTimes } from '../../contract/jwt.ts';
import type { Authenticate, FleetCaller } from '../auth.ts';
import type { Context } from '../context.ts';
import { requireKeyHolder } from '../identity/key-holder.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { refuseOpenWire, refusePassedOn } from './own-calls.ts';

/** The end of the year 9999, milliseconds: a later one can't be written as a timestamp. */
const LATEST_MS = 253_402_300_799_000;
const VISIBLE = /^[\x21-\x7e]+$/;

/** `authenticate`: as this Supervisor takes credentials, without counting them against anybody's rate. */
export function introspectRoutes(context: Context, authenticate: Authenticate): Route[] {
  return [introspect(context, authenticate)];
}

function introspect(context: Context, authenticate: Authenticate): Route {
  return route('node', {
    method: 'post',
    path: '/v1/introspect',
    tag: 'keys',
    summary: 'Whose a credential is, as far as it is one of a node of the same fleet; over https or inside one machine only',
    body: IntrospectRequest,
    answers: { 200: { description: 'The node, or that it is no good one of a node of this fleet.', schema: IntrospectAnswer } },
    problems: ['https_required', 'misdirected'],
    async handle({ caller: { fleet, keys }, body: { token }, request }) {
      refuseOpenWire(context, request, 'the question holds a credential, and anybody on the way could read it');
      refusePassedOn(request, 'whose a credential is, is asked of the Supervisor itself: a node between would see it');
      requireKeyHolder(keys, 'can not tell whose a credential is');
      const node = await nodeOf(authenticate, request.url, token);
      const answer: IntrospectAnswer = node?.fleet === fleet ? await describe(node, token) : { active: false };
      return json(answer, { 'cache-control': 'no-store' });
    },
  });
}

type NodeCaller = FleetCaller & { readonly node_id: string };

/** Rejects with the problem `unavailable` while that can't be told. */
async function nodeOf(authenticate: Authenticate, url: string, token: string): Promise<NodeCaller | undefined> {
  if (!VISIBLE.test(token)) return undefined;
  try {
    const who = await authenticate(new Request(url, { headers: { authorization: `Bearer ${token}` } }));
    return who?.scope === 'node' && who.node_id !== undefined ? { ...who, node_id: who.node_id } : undefined;
  } catch (error) {
    if (error instanceof ProblemError && error.problem.code === 'unauthenticated') return undefined;
    throw error;
  }
}

async function describe(caller: NodeCaller, token: string): Promise<IntrospectAnswer> {
  const end = await endOf(caller, token);
  const { node_id } = caller;
  return { active: true, scope: 'node', node_id, ...(end === undefined ? {} : { expires_at: toTimestamp(Math.min(end, LATEST_MS)) }) };
}

/** Milliseconds since the Unix epoch. What follows from a fleet key that is being replaced ends with that one. */
async function endOf({ keys, node_id, issued }: NodeCaller, token: string): Promise<number | undefined> {
  if (issued !== undefined) return issued.expires_at;
  const exp = readJwtTimes(token)?.exp;
  if (exp !== undefined) return exp * 1000;
  const { replaces_until } = keys;
  if (replaces_until === undefined || !isKeyHolder(keys) || token === (await keys.nodeCredential(node_id))) return undefined;
  return replaces_until;
}
