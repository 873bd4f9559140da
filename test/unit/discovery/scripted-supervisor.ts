import { type DocumentKind, fromWire, type SignedDocument } from '../../../shared/contract/document.ts';
import { DESIRED_HEADER, EPOCH_HEADER, formatDesired, formatToken } from '../../../shared/contract/headers.ts';
import { type ClusterPlan, toTimestamp, toWire } from '../../../shared/contract/index.ts';
import { PROBLEM_JSON, type ProblemCode, problem } from '../../../shared/contract/problem.ts';
import type { Clock } from '../../../shared/ports/clock.ts';

export interface Call {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly token: string | null;
  readonly body: Record<string, unknown>;
}

type Answer = Response | undefined | Promise<Response | undefined>;

/**
 * A Supervisor that follows the wire contract as far as one node sees it, and misbehaves on request.
 * The tests with the real one are in `main-path.test.ts`; this one is for answers that the real one never gives.
 */
export class ScriptedSupervisor {
  readonly calls: Call[] = [];
  readonly nodes = new Set<string>();
  /** What a leader has told of its site, by node. */
  readonly told = new Map<string, Record<string, unknown>>();
  /** What was registered here, as a leader would tell it. */
  readonly #registered = new Map<string, Record<string, unknown>>();
  readonly events: Record<string, unknown>[] = [];
  readonly documents: Partial<Record<DocumentKind, SignedDocument>> = {};
  leader: { node_id: string; url: string; epoch: number; until: number } | undefined;
  ttl_seconds = 15;
  reachable = true;
  /** Names told to nodes; default: every service of the plan. */
  names: readonly string[] | undefined;
  /** How many documents were sent whole. */
  sent_whole = 0;
  /** Comes before the ordinary answer; undefined lets that one through. */
  before: ((call: Call) => Answer) | undefined;
  readonly #clock: Clock;
  readonly #url: string;

  constructor(clock: Clock, url: string) {
    this.#clock = clock;
    this.#url = url;
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    if (!this.reachable) throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    const { pathname, search } = new URL(request.url);
    const text = await request.text();
    const call = {
      method: request.method,
      path: pathname + search,
      token: request.headers.get(EPOCH_HEADER),
      body: text === '' ? {} : JSON.parse(text),
    };
    this.calls.push(call);
    return (await this.before?.(call)) ?? this.#answer(call, pathname, request);
  };

  /** The calls whose path starts so. */
  made(path: string): Call[] {
    return this.calls.filter((call) => call.path.startsWith(path));
  }

  publish(document: SignedDocument): void {
    this.documents[document.kind] = document;
  }

  #answer(call: Call, pathname: string, request: Request): Response {
    switch (pathname) {
      case '/v1/nodes/register':
        this.nodes.add(String(call.body.node_id));
        this.#registered.set(String(call.body.node_id), { role: 'worker', registered_ms: 0, ...call.body, lead: undefined });
        return json({ registered: true });
      case '/v1/nodes/plan':
        return this.nodes.has(String(call.body.node_id))
          ? json(this.#plan(String(call.body.node_id)), this.headers())
          : fail('unknown_node');
      case '/v1/nodes/heartbeat':
        return this.nodes.has(String(call.body.node_id))
          ? new Response(null, { status: 204, headers: this.headers() })
          : fail('unknown_node');
      case '/v1/leader/claim':
        return json(this.#claim(call.body), this.headers());
      case '/v1/sites/uplink':
        return call.method === 'GET' ? json({ nodes: [...this.#registered.values()], gone: [] }) : this.#uplink(call.body);
      case '/v1/events':
        return json({ events: [] });
      case '/v1/leader/release':
        return this.#release(call.body);
      case '/v1/leader':
        return this.#leads() === undefined ? fail('no_leader') : json({ ...this.#lease(), provisional: false });
      case '/v1/cluster/plan':
        return this.#document('plan', request);
      case '/v1/bootstrap/profile':
        return this.#document('profile', request);
      case '/v1/cluster/plan/history':
        return this.#history('plan', request);
      case '/v1/bootstrap/profile/history':
        return this.#history('profile', request);
      case '/v1/cluster/plan/versions':
        return this.#take('plan', call.body);
      case '/v1/bootstrap/profile/versions':
        return this.#take('profile', call.body);
      case '/v1/bootstrap/events':
        this.events.push(...(call.body as unknown as Record<string, unknown>[]));
        return new Response(null, { status: 202 });
      default:
        return this.#version(pathname) ?? fail('not_found');
    }
  }

  headers(): Record<string, string> {
    const desired = formatDesired({ plan: this.documents.plan?.meta.generation, profile: this.documents.profile?.meta.generation });
    return { [DESIRED_HEADER]: desired, ...(this.leader === undefined ? {} : { [EPOCH_HEADER]: formatToken(this.leader) }) };
  }

  #plan(node_id: string): Record<string, unknown> {
    const body = this.documents.plan?.body as ClusterPlan | undefined;
    const all = (body?.services ?? []).map(({ name, version }) => ({ name, version }));
    const named = this.names?.map((name) => all.find((one) => one.name === name) ?? { name, version: '1' });
    return {
      role: this.leader?.node_id === node_id ? 'leader' : 'worker',
      services: named ?? all,
      control_plane_url: this.#url,
      gateway_url: this.#url,
      epoch: this.leader?.epoch ?? 0,
      leader_node_id: this.leader?.node_id ?? 'nobody',
      successors: [],
      ttl_seconds: this.ttl_seconds,
      instance_id: this.#registered.get(node_id)?.instance_id,
      ...(this.documents.plan === undefined
        ? {}
        : { generation: this.documents.plan.meta.generation, hash: this.documents.plan.meta.hash, ...emergencyIn(this.documents.plan) }),
    };
  }

  #claim({ node_id, url, epoch, epoch_seen }: Record<string, unknown>) {
    const current = this.#leads();
    const isHolder = current?.node_id === node_id && (epoch !== undefined || current?.url === url);
    const lost = current !== undefined && !isHolder;
    if (!lost) {
      const isRenewal = current !== undefined && current.epoch === epoch;
      const next = Math.max(this.leader?.epoch ?? 0, Number(epoch_seen ?? 0)) + 1;
      const until = this.#clock.monotonic() + this.ttl_seconds * 1000;
      this.leader = { node_id: String(node_id), url: String(url), epoch: isRenewal ? current.epoch : next, until };
    }
    return { granted: !lost, ...this.#lease() };
  }

  /** Takes all that it is told under the lease, and nothing with a new one. */
  #uplink({ nodes = [], ...body }: Record<string, unknown>): Response {
    const lease = this.#claim(body);
    if (!lease.granted) return json(lease, this.headers());
    if (lease.epoch !== body.epoch) return json({ ...lease, resync: true }, this.headers());
    for (const node of nodes as Record<string, unknown>[]) this.told.set(String(node.node_id), node);
    return json({ ...lease, acked: body.seq }, this.headers());
  }

  #release({ node_id, epoch }: Record<string, unknown>): Response {
    if (this.leader === undefined || this.leader.node_id !== node_id || this.leader.epoch !== epoch) return fail('stale_epoch');
    this.leader.until = 0;
    return new Response(null, { status: 204 });
  }

  #leads() {
    return this.leader !== undefined && this.leader.until > this.#clock.monotonic() ? this.leader : undefined;
  }

  #lease() {
    const { node_id = '', url = '', epoch = 0, until = 0 } = this.leader ?? {};
    const expires_in_ms = Math.max(0, Math.floor(until - this.#clock.monotonic()));
    return { leader_url: url, node_id, epoch, expires_in_ms, expires_at: toTimestamp(this.#clock.now() + expires_in_ms) };
  }

  /** It knows the current version and no other. */
  #history(kind: DocumentKind, request: Request): Response {
    const document = this.documents[kind];
    const etag = `"${document?.meta.generation}-${document?.meta.hash}"`;
    if (request.headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } });
    const versions = document === undefined ? [] : [{ ...document.meta, current: true, conflict: false, resolved: false }];
    return json({ versions }, { etag });
  }

  #version(pathname: string): Response | undefined {
    const [, noun, generation] = /^\/v1\/(cluster\/plan|bootstrap\/profile)\/history\/(\d+)$/.exec(pathname) ?? [];
    const document = noun === undefined ? undefined : this.documents[noun === 'cluster/plan' ? 'plan' : 'profile'];
    if (document === undefined || document.meta.generation !== Number(generation)) return undefined;
    return json(toWire(document));
  }

  /** Only upwards, whoever decides. */
  #take(kind: DocumentKind, { versions = [], current }: Record<string, unknown>): Response {
    const offered = (versions as Record<string, unknown>[]).map((wire) => fromWire(kind, 'default', wire));
    const head = offered.find(({ meta }) => meta.hash === (current as { hash?: string } | undefined)?.hash);
    const mine = this.documents[kind]?.meta;
    const isAdopted = head !== undefined && (mine === undefined || head.meta.generation > mine.generation);
    if (isAdopted) this.publish(head);
    return json({ outcome: isAdopted ? 'adopted' : 'kept', open_conflicts: 0 });
  }

  #document(kind: DocumentKind, request: Request): Response {
    const document = this.documents[kind];
    if (document === undefined) return fail(kind === 'plan' ? 'no_plan' : 'no_profile');
    const etag = `"${document.meta.generation}-${document.meta.hash.slice(0, 12)}"`;
    if (request.headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } });
    this.sent_whole += 1;
    return json(toWire(document), { etag });
  }
}

function emergencyIn({ meta: { emergency } }: SignedDocument) {
  return emergency === undefined ? {} : { emergency: emergency.n };
}

export function json(body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json', ...headers } });
}

export function fail(code: ProblemCode, detail = `scripted ${code}`): Response {
  const body = problem(code, detail);
  return new Response(JSON.stringify(body), { status: body.status, headers: { 'content-type': PROBLEM_JSON } });
}
