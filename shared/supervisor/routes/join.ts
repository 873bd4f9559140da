import { proveCredential } from '../../contract/credential-proof.ts';
import type { FleetKeys } from '../../contract/fleet-keys.ts';
import { toTimestamp } from '../../contract/ids.ts';
import { JoinAnswer, JoinRequest } from '../../contract/join.ts';
import { type FleetCaller, holdsFleetKey, type JoinCaller, requireSelf } from '../auth.ts';
import type { Context } from '../context.ts';
import { requireKeyHolder } from '../identity/key-holder.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import { refuseOpenWire, refusePassedOn } from './own-calls.ts';

export function joinRoutes(context: Context): Route[] {
  return [join(context)];
}

function join(context: Context): Route {
  return route('join', {
    method: 'post',
    path: '/v1/nodes/join',
    tag: 'nodes',
    summary: 'What a node needs to be of the fleet without the fleet key; over https or inside one machine only',
    body: JoinRequest,
    answers: { 200: { description: 'To be kept by the node, readable by nobody else.', schema: JoinAnswer } },
    problems: ['https_required', 'key_used_up', 'misdirected'],
    async handle({ caller, body: { node_id, site: asked }, request }) {
      refuseOpenWire(context, request, 'the answer would hold keys, and anybody on the way could read it');
      refusePassedOn(request, 'joining is asked of the Supervisor itself: a node between would see the keys');
      if (caller.scope === 'service') throw new TypeError('joining was mounted without its scope');
      if (caller.scope === 'join') await takeUse(context, caller, node_id);
      else requireSelf(caller, node_id);
      const site = caller.issued?.site ?? asked;
      const keys = requireKeyHolder(caller.keys, 'lets nobody in');
      const answer: JoinAnswer = {
        node_id,
        fleet: caller.fleet,
        ...(site === undefined ? {} : { site }),
        ...(mayHaveCredential(caller) ? await credentialOf(keys, node_id) : {}),
        ...(keys.replaces_until === undefined ? {} : { replaces_until: toTimestamp(keys.replaces_until) }),
        discovery_key: keys.discovery_key,
        document_keys: [keys.documents, ...(keys.documents.others ?? [])].map(({ public_key }) => public_key),
      };
      return json(answer, { 'cache-control': 'no-store' });
    },
  });
}

async function credentialOf(keys: FleetKeys, node_id: string): Promise<Pick<JoinAnswer, 'credential' | 'credential_proof'>> {
  const credential = await keys.nodeCredential(node_id);
  const credential_proof = await proveCredential(keys, credential);
  return { credential, ...(credential_proof === undefined ? {} : { credential_proof }) };
}

/** A node's derived credential has no end: who comes with something that has one does not get it. */
function mayHaveCredential(caller: FleetCaller | JoinCaller): boolean {
  return caller.scope === 'join' || caller.rests_on !== undefined || holdsFleetKey(caller);
}

/**
 * Who has registered needs no join key any more, and nobody else gets its credential by one. Only the holder of a key
 * for one single node may ask for it again, if it was this key that let the node in.
 */
async function takeUse(context: Context, { fleet, issued }: JoinCaller, node_id: string): Promise<void> {
  const { keys, nodes } = context;
  const name = { fleet, key_id: issued.key_id };
  const registered = await nodes.get(fleet, node_id);
  const row = registered === undefined ? undefined : await keys.get(name);
  if (registered !== undefined && row?.max_uses !== 1) throw registeredAlready(node_id);
  if (!(await keys.join(name, node_id))) {
    if (registered !== undefined) throw registeredAlready(node_id);
    throw new ProblemError('key_used_up', `the join key ${issued.key_id} has let in as many nodes as it may; make another one`);
  }
  const data = { action: 'joined', key_id: issued.key_id, by: node_id };
  await context.record({
    fleet,
    type: 'overlay.key',
    site: issued.site ?? 'default',
    node_id,
    data,
    dedupe: `key/joined/${issued.key_id}/${node_id}`,
  });
}

function registeredAlready(node_id: string): ProblemError {
  return new ProblemError('forbidden', `node ${node_id} is registered already: it renews what it was given with its own credential`);
}
