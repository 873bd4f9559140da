import { type Answer, type Call, type ClientOptions, request } from './client.ts';
import { CreatedFleet, type CreateFleetRequest, FLEET_HEADER, FleetList, FleetRecord, type RotateFleetRequest } from './contract/fleet.ts';
import { IntrospectAnswer } from './contract/introspect.ts';
import { JoinAnswer, type JoinRequest } from './contract/join.ts';
import { CreatedKey, type CreateKeyRequest, IssuedKey, KeyList } from './contract/key.ts';

export type IdentityClient = ReturnType<typeof createIdentityClient>;

/**
 * Calls of `/v1/keys`, `/v1/fleets` and joining. An admin names the `fleet` to act in; everybody else's credential does.
 * They reject with `ApiError` or `UnreachableError`.
 */
export function createIdentityClient(options: ClientOptions, fleet?: string) {
  const headers: Record<string, string> = fleet === undefined ? {} : { [FLEET_HEADER]: fleet };
  const send = async <T>(call: Omit<Call<T>, 'headers'>): Promise<T> => bodyOf(await request(options, { ...call, headers }));
  const key = (key_id: string) => `/v1/keys/${encodeURIComponent(key_id)}`;
  const named = (name: string) => `/v1/fleets/${encodeURIComponent(name)}`;
  return {
    url: options.url,
    keys: (after?: string) => send({ method: 'GET', path: '/v1/keys', query: { after }, schema: KeyList }),
    createKey: (body: CreateKeyRequest) => send({ method: 'POST', path: '/v1/keys', body, schema: CreatedKey }),
    revokeKey: (key_id: string) => send({ method: 'DELETE', path: key(key_id), schema: IssuedKey }),
    /** What a node needs to be of the fleet without the fleet key; with a join key, or the node's own credential. */
    join: (body: JoinRequest) => send({ method: 'POST', path: '/v1/nodes/join', body, schema: JoinAnswer }),
    /** Whose a credential is, as far as it is a node's of the own fleet. */
    introspect: (token: string) => send({ method: 'POST', path: '/v1/introspect', body: { token }, schema: IntrospectAnswer }),
    fleets: (after?: string) => send({ method: 'GET', path: '/v1/fleets', query: { after }, schema: FleetList }),
    createFleet: (body: CreateFleetRequest) => send({ method: 'POST', path: '/v1/fleets', body, schema: CreatedFleet }),
    closeFleet: (name: string) => send({ method: 'DELETE', path: named(name), schema: FleetRecord }),
    rotateFleet: (name: string, body: RotateFleetRequest) =>
      send({ method: 'POST', path: `${named(name)}/rotate`, body, schema: CreatedFleet }),
  };
}

function bodyOf<T>({ body }: Answer<T>): T {
  return body;
}
