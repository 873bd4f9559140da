import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetKeys } from '../../shared/contract/fleet-keys.ts';
import { backoffMs } from '../../shared/decide/backoff.ts';
import { heartbeatDelayMs } from '../../shared/decide/jitter.ts';
import type { Caller } from './caller.ts';

const RETRY = { base_ms: 250, cap_ms: 15_000 };
const URL_OF_NODE = 'http://192.0.2.1:7420';
/** After this many tries a node of a load that is too large gives up, so that the run ends. */
const MAX_TRIES = 20;

/** One node as the Supervisor sees it: the calls of a real one, in its order, with its jitter and its backoff. */
export interface LoadNode {
  readonly node_id: string;
  readonly site: string;
  readonly credential: string;
}

export async function nodesOf(keys: FleetKeys, sites: number, perSite: number): Promise<LoadNode[][]> {
  const site = async (name: string) =>
    Promise.all(
      Array.from({ length: perSite }, async (_, index) => {
        const node_id = `${name}-node-${index}`;
        return { node_id, site: name, credential: await keys.nodeCredential(node_id) };
      }),
    );
  return Promise.all(Array.from({ length: sites }, (_, index) => site(`site-${index}`)));
}

async function persistently<T>(act: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const result = await act();
    if (result !== undefined) return result;
    await sleep(backoffMs(RETRY, tries, Math.random()));
  }
  return undefined;
}

/** A claim of the site: granted, or whoever leads. */
export async function claim(caller: Caller, { node_id, site, credential }: LoadNode, kind = 'claim'): Promise<number | undefined> {
  const path = `/v1/leader/claim?site=${site}`;
  const reply = await persistently(() => caller.call(kind, ['POST', path], credential, { node_id, url: URL_OF_NODE }));
  const { granted, epoch } = (reply?.body ?? {}) as { granted?: boolean; epoch?: number };
  return granted === true ? epoch : undefined;
}

/** A node that calls this Supervisor itself comes up: it registers, asks for its plan and the profile, and says that it lives. */
export async function boot(caller: Caller, node: LoadNode): Promise<boolean> {
  const { node_id, site, credential } = node;
  const registration = {
    node_id,
    site,
    capabilities: [],
    host: node_id,
    ip: '192.0.2.1',
    url: URL_OF_NODE,
    versions: { bootplane: '0.1.0' },
  };
  const registered = await persistently(() => caller.call('register', ['POST', '/v1/nodes/register'], credential, registration));
  const planned = await persistently(() => caller.call('plan', ['POST', '/v1/nodes/plan'], credential, { node_id }));
  await persistently(() => caller.call('profile', ['GET', '/v1/bootstrap/profile'], credential));
  await beat(caller, node);
  return registered?.status === 200 && planned?.status === 200;
}

export async function beat(caller: Caller, { node_id, credential }: LoadNode): Promise<void> {
  const body = {
    node_id,
    role: 'worker',
    services_running: [],
    versions: { bootplane: '0.1.0' },
    metrics: { uptime_seconds: Math.round(performance.now()) },
  };
  await caller.call('heartbeat', ['POST', '/v1/nodes/heartbeat'], credential, body);
}

/** A leader renews its lease, and tells of the nodes that it speaks for: first of all, then of what has changed, which here is nothing. */
export class Uplink {
  readonly #caller: Caller;
  readonly #leader: LoadNode;
  readonly #nodes: readonly LoadNode[];
  readonly #epoch: number;
  #seq = 0;

  constructor(caller: Caller, { leader, nodes }: { readonly leader: LoadNode; readonly nodes: readonly LoadNode[] }, epoch: number) {
    this.#caller = caller;
    this.#leader = leader;
    this.#nodes = nodes;
    this.#epoch = epoch;
  }

  async tell(): Promise<boolean> {
    const { node_id, site, credential } = this.#leader;
    this.#seq += 1;
    const first = this.#seq === 1 ? { full: true, nodes: this.#nodes.map((node) => told(node.node_id)) } : {};
    const body = {
      node_id,
      url: URL_OF_NODE,
      site,
      epoch: this.#epoch,
      session: `load-${node_id}-${this.#epoch}`,
      seq: this.#seq,
      ...first,
    };
    const kind = this.#seq === 1 ? 'uplink, all nodes' : 'uplink';
    return (await this.#caller.call(kind, ['POST', '/v1/sites/uplink'], credential, body))?.status === 200;
  }
}

function told(node_id: string) {
  const versions = { bootplane: '0.1.0' };
  return { node_id, role: 'worker', capabilities: [], host: node_id, ip: '192.0.2.1', versions, services_running: [], registered_ms: 0 };
}

/** Does something every third of the TTL, as late as a node that has just done it would, until the time is over. */
export async function repeat(ttl_seconds: number, until: number, act: () => Promise<unknown>): Promise<void> {
  let delay = Math.random() * heartbeatDelayMs(ttl_seconds, Math.random());
  while (performance.now() + delay < until) {
    await sleep(delay);
    await act();
    delay = heartbeatDelayMs(ttl_seconds, Math.random());
  }
}
