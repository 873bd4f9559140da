import { DESIRED_HEADER, EPOCH_HEADER, type FencingToken, formatToken, parseToken } from '../shared/contract/headers.ts';
import { HeartbeatRequest, HeartbeatsAnswer, MAX_HEARTBEATS } from '../shared/contract/node.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { FleetCaller } from '../shared/supervisor/auth.ts';
import { DOCUMENT_BYTES, MESSAGE_BYTES } from '../shared/supervisor/body.ts';
import type { Decider } from './followed.ts';
import type { Call } from './forward-call.ts';
import type { Forwarding } from './forwarding.ts';

/** For so long heartbeats gather, milliseconds. */
const GATHER_MS = 250;
/** What a batch may hold, with room for the list around it. */
const BATCH_BYTES = DOCUMENT_BYTES - 64 * 1024;

export interface HeartbeatsParts {
  readonly forwarding: Forwarding;
  readonly decider: () => Decider;
  readonly clock: Clock;
  readonly site: string;
  /** The gateway itself, who speaks for the nodes behind it. */
  readonly gateway: FleetCaller;
  /** The credential of its node. */
  readonly credential: () => Promise<string>;
}

export interface GatewayHeartbeats {
  /** Answers one heartbeat as the leader would have; undefined for one that has to go to the leader by itself. */
  take(call: Call): Promise<Response> | undefined;
}

interface Waiting {
  readonly call: Call;
  readonly beat: HeartbeatRequest;
  readonly bytes: number;
  readonly answer: (response: Response) => void;
}

/**
 * Sends the heartbeats of the nodes behind a gateway in batches. Each node gets its own answer: what the batch
 * does not take goes to the leader by itself, whose refusal is then passed back word for word.
 */
export function createGatewayHeartbeats(parts: HeartbeatsParts): GatewayHeartbeats {
  let gathering: Waiting[] = [];
  const flush = () => {
    const batch = gathering;
    gathering = [];
    if (batch.length > 0) void send(parts, batch);
  };
  return {
    take(call) {
      const beat = readBeat(call);
      if (beat === undefined || !isFresh(call, parts.decider())) return undefined;
      const bytes = call.body instanceof Uint8Array ? call.body.length : 0;
      // Of two instances of one node both have to be heard: one of them is a clone.
      if (gathering.some((one) => one.beat.node_id === beat.node_id)) return undefined;
      const total = gathering.reduce((sum, one) => sum + one.bytes, bytes);
      if (total > BATCH_BYTES) flush();
      return new Promise((answer) => {
        gathering.push({ call, beat, bytes, answer });
        if (gathering.length >= MAX_HEARTBEATS) flush();
        else if (gathering.length === 1) void parts.clock.sleep(GATHER_MS).then(flush);
      });
    },
  };
}

/** The heartbeat of the node that sends it; whatever is wrong with it the leader says. */
function readBeat({ caller, body, headers }: Call): HeartbeatRequest | undefined {
  const isJson = /^application\/json\s*(;|$)/i.test(headers.get('content-type') ?? '');
  if (!isJson || !(body instanceof Uint8Array) || body.length > MESSAGE_BYTES) return undefined;
  try {
    const beat = HeartbeatRequest.safeParse(JSON.parse(new TextDecoder().decode(body)));
    return beat.success && beat.data.node_id === caller.node_id ? beat.data : undefined;
  } catch {
    return undefined;
  }
}

/** A batch has one fencing token: a node that follows another leader than its gateway speaks for itself. */
function isFresh({ headers }: Call, decider: Decider): boolean {
  const text = headers.get(EPOCH_HEADER);
  if (text === null) return true;
  const token = parseToken(text);
  const followed = tokenOf(decider);
  return token !== undefined && followed !== undefined && token.epoch === followed.epoch && token.node_id === followed.node_id;
}

function tokenOf(decider: Decider): FencingToken | undefined {
  if (decider.kind !== 'leader' || decider.node_id === undefined) return undefined;
  return { epoch: decider.epoch, node_id: decider.node_id };
}

async function send(parts: HeartbeatsParts, batch: readonly Waiting[]): Promise<void> {
  const alone = (one: Waiting) => parts.forwarding.insist(one.call).then(one.answer);
  const [only] = batch;
  if (batch.length === 1 && only !== undefined) return alone(only);
  const response = await parts.forwarding.insist(await batchCall(parts, batch));
  if (response.status === 503) return refuseAll(batch, response);
  const read = response.status === 200 ? HeartbeatsAnswer.safeParse(await response.json().catch(() => undefined)) : undefined;
  if (read?.success !== true) {
    await Promise.all(batch.map(alone));
    return;
  }
  const rejected = new Set(read.data.rejected.map(({ node_id }) => node_id));
  const headers = currentHeaders(response.headers);
  await Promise.all(
    batch.map((one) => (rejected.has(one.beat.node_id) ? alone(one) : one.answer(new Response(null, { status: 204, headers })))),
  );
}

/** Nobody leads: each alone would wait just as long in vain. */
async function refuseAll(batch: readonly Waiting[], { status, headers, body }: Response): Promise<void> {
  const text = await new Response(body).text();
  for (const one of batch) one.answer(new Response(text, { status, headers }));
}

async function batchCall({ decider, site, gateway, credential }: HeartbeatsParts, batch: readonly Waiting[]): Promise<Call> {
  const token = tokenOf(decider());
  const headers = new Headers({ 'content-type': 'application/json', authorization: `Bearer ${await credential()}` });
  if (token !== undefined) headers.set(EPOCH_HEADER, formatToken(token));
  return {
    method: 'POST',
    pathname: '/v1/nodes/heartbeats',
    search: `?site=${encodeURIComponent(site)}`,
    headers,
    caller: gateway,
    body: new TextEncoder().encode(JSON.stringify({ heartbeats: batch.map(({ beat }) => beat) })),
    signal: new AbortController().signal,
  };
}

function currentHeaders(headers: Headers): [string, string][] {
  return [EPOCH_HEADER, DESIRED_HEADER].flatMap((name): [string, string][] => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value]];
  });
}
