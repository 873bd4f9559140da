import type { Decider } from '../../runtime-node/followed.ts';
import { createFrontDoor } from '../../runtime-node/front-door.ts';
import type { Fetch } from '../../shared/client.ts';
import type { DesiredGenerations } from '../../shared/contract/document.ts';
import type { MemberKeys } from '../../shared/contract/fleet-keys.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Authenticate, NodeFinder } from '../../shared/supervisor/auth.ts';
import { FLEET_KEY, type Harness } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { memoryArtifactStore } from '../support/memory-artifact-store.ts';
import { systemClock } from '../support/system-clock.ts';

export const LEADER = 'http://leader.test:7420';
export const CLOUD = 'https://cloud.example';

/** A node `me` in front of a real Supervisor of a leader `b`, which is dialled at `LEADER`. */
export interface FrontDoor {
  readonly leader: Harness;
  readonly own: Harness;
  /** What left the node, in order. */
  readonly sent: Request[];
  /** What the cloud has published through the node. */
  readonly published: DesiredGenerations[];
  decider: Decider;
  /** The epoch at which the leader leads. */
  epoch: number | undefined;
  /** Stands between the node and the leader. */
  wire: (request: Request, go: Fetch) => Promise<Response>;
  call(request: string, init?: RequestInit): Promise<Response>;
  /** With these headers and no others. */
  withoutCredential(request: string, headers: Record<string, string>): Promise<Response>;
  close(): Promise<void>;
}

/** `member`: the keys of a node `me` that has joined without the fleet key. */
export async function startFrontDoor({
  member,
  finder,
  ...options
}: {
  isGateway?: boolean;
  cloud_url?: string;
  authenticate?: Authenticate;
  clock?: Clock;
  member?: MemberKeys;
  /** What a node without the fleet key that leads is told of other nodes. */
  finder?: NodeFinder;
} = {}): Promise<FrontDoor> {
  const self = {
    ...{ node_id: 'b', instance_id: 'boot-b', origins: () => [LEADER], provisional: () => false, confirmed: () => false },
    leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }),
    hear: () => undefined,
    onHigherToken: () => undefined,
    leading: () => world.epoch,
  };
  const leader = await startOnNode({ self, artifacts: memoryArtifactStore() });
  const fleets = { default_fleet: 'default', keysOf: async () => member };
  const own = await startOnNode({
    artifacts: memoryArtifactStore(),
    ...(member === undefined ? {} : { fleets }),
    ...(finder === undefined ? {} : { finder }),
  });
  const sent: Request[] = [];
  const published: DesiredGenerations[] = [];
  const world: FrontDoor = {
    ...{ leader, own, sent, published, epoch: 1 },
    decider: { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' },
    wire: (request, go) => go(request),
    call: (request, init = {}) => {
      const [method = 'GET', path = '/'] = request.split(' ');
      const headers = {
        authorization: `Bearer ${FLEET_KEY}`,
        ...(init.body ? { 'content-type': 'application/json' } : {}),
        ...init.headers,
      };
      return door(new Request(`http://127.0.0.1:7420${path}`, { method, ...init, headers }));
    },
    withoutCredential: (request, headers) => {
      const [method = 'GET', path = '/'] = request.split(' ');
      return door(new Request(`http://127.0.0.1:7420${path}`, { method, headers }));
    },
    close: async () => {
      await leader.close();
      await own.close();
    },
  };
  const door = createFrontDoor({
    own: own.supervisor.fetch,
    fetch: async (request) => {
      sent.push(request.clone());
      return world.wire(request, leader.supervisor.fetch);
    },
    clock: systemClock,
    keys: member ?? own.keys,
    identity: { node_id: 'me', instance_id: 'boot-me' },
    site: 'default',
    isGateway: false,
    authenticate: own.supervisor.authenticate,
    decider: () => world.decider,
    published: (desired) => void published.push(desired),
    ...options,
  });
  return world;
}
