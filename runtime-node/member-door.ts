import type { MemberKeys } from '../shared/contract/fleet-keys.ts';
import { isLoopback } from '../shared/contract/loopback.ts';
import type { Identity } from '../shared/discovery/identify.ts';
import { presentedCredential } from '../shared/supervisor/identity/presented-key.ts';
import type { Decider } from './followed.ts';
import type { CloudAnswer } from './forward-cloud.ts';
import { refusal } from './forward-errors.ts';

/** The owner of this node speaks to the fleet as this node: more is not for a node to give. */
export async function asThisNode({ isLocalKey, local_credential }: MemberKeys, request: Request): Promise<Request> {
  const presented = presentedCredential(request.headers);
  if (presented === undefined || (presented !== local_credential && !(await isLocalKey(presented)))) return request;
  const headers = new Headers(request.headers);
  headers.delete('x-api-key');
  headers.set('authorization', `Bearer ${local_credential}`);
  const { url, method, signal } = request;
  const body = request.body === null ? {} : { body: request.body, duplex: 'half' as const };
  // What the listener gives is no Request that another one could be made of.
  return new Request(url, { method, headers, signal, redirect: 'manual', ...body });
}

export function isOfThisNode({ local_credential }: MemberKeys, request: Request): boolean {
  return presentedCredential(request.headers) === local_credential;
}

export interface UnvouchedParts {
  readonly identity: Pick<Identity, 'node_id'>;
  cloud(request: Request, url: string): Promise<CloudAnswer>;
}

/**
 * A call of somebody else at a node without the fleet key, which can't tell who that is: it goes to a leader on this machine with the
 * caller's own credential, and to nobody else: any node of the fleet can prove itself as a leader, also one that is in wrong hands.
 */
export async function passUnvouched({ identity, cloud }: UnvouchedParts, request: Request, now: Decider): Promise<Response> {
  const who = `node ${identity.node_id} has joined without the fleet key and can not tell whose this credential is`;
  if (now.kind !== 'leader') return refusal('no_leader', `${who}; it knows no leader to ask now: try again in a moment`);
  const { origin } = new URL(now.url);
  if (isLoopback(origin)) return (await cloud(request, now.url)).response;
  return refusal('misdirected', `${who}, and shows it to nobody: ask the leader at ${origin}`, 421, { location: origin });
}
