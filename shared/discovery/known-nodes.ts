import { ApiError } from '../client.ts';
import { sha256Hex } from '../contract/canonical.ts';
import { nodeProved } from '../contract/credential-proof.ts';
import type { DocumentVerifier } from '../contract/fleet-keys.ts';
import { fromTimestamp } from '../contract/ids.ts';
import type { IntrospectAnswer } from '../contract/introspect.ts';
import { isJwt } from '../contract/jwt.ts';
import { jittered } from '../decide/jitter.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { RateLimit } from '../ports/rate-limit.ts';
import { type FileDeps, messageOf } from './json-file.ts';
import { type KnownNode, readKnownNodes, type StoredNode, writeKnownNodes } from './known-nodes-file.ts';

/** What is known is asked again after about this long, milliseconds: so long a credential that was taken back may count on. */
export const ASK_AGAIN_MS = 3_600_000;
/** After an ask that came to nothing. Meanwhile what is known counts. */
const RETRY_MS = 60_000;
/** What is no credential of a node is not asked about again for so long. */
const REFUSED_MS = 60_000;
/** So long nobody is asked after the cloud has not answered, milliseconds: whoever calls would wait for it in vain. */
const AWAY_MS = 5_000;
/** Credentials, the longest-known of them is forgotten first. */
const MOST_KNOWN = 4096;
const MOST_REFUSED = 1024;
/** Asked about at one time. */
const MOST_AT_ONCE = 64;
/** Between two writes of the file: a site that boots is learned in a few. */
const WRITE_GAP_MS = 1000;

export interface KnownNodesDeps extends FileDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, 'next'>;
  readonly fleet: string;
  /** The public keys by which nodes can prove their credentials themselves; `replacedUntil`: the end of those but the first, undefined: unknown. */
  readonly keys: { readonly documents: DocumentVerifier; replacedUntil(): number | undefined };
  /** Asks who holds the fleet key, in bounded time. Rejects when it can't be told. */
  ask(credential: string): Promise<IntrospectAnswer>;
  /** How often it is asked about credentials that are not known: a guesser must not become a load on it. */
  readonly limit: RateLimit;
  /** False: only what is known already is told. */
  mayAsk(): boolean;
}

/** `expires_at`: milliseconds since the Unix epoch; absent: the credential has no end of its own. `away`: why it can't be told now, in words. */
export type WhoseCredential = { readonly node_id: string; readonly expires_at?: number } | { readonly away: string } | undefined;

/** Whose the credentials of other nodes are, as who holds the fleet key has told. */
export interface KnownNodes {
  /** `proof`: what the node sent beside it. Undefined for one that is not a good one of a node of this fleet. Never rejects. */
  nodeOf(credential: string, proof?: string): Promise<WhoseCredential>;
}

interface Known extends Omit<StoredNode, 'sha256'> {
  /** When to ask again, by the monotonic clock. */
  due_at: number;
}

/**
 * The memory of a leader without the fleet key: what a node proves itself it believes, for any other credential it asks once, keeps a hash
 * of it, and goes on with what it knows while the cloud is away. A file makes that outlive a restart.
 */
export function createKnownNodes(deps: KnownNodesDeps): KnownNodes {
  const { clock, random, log } = deps;
  const known = new Map<string, Known>();
  const refused = new Map<string, number>();
  /** Were good once, and the cloud has said that they are not any more: their proof, which has no end, is believed no more, until a restart. */
  const takenBack = new Set<string>();
  const asking = new Map<string, Promise<WhoseCredential>>();
  const store = createStore(deps, known);
  let away: { readonly why: string; readonly until: number } | undefined;
  let told: string | undefined;

  /** What a node has proved itself is asked about soon: it does not say whether the credential was taken back. */
  const keep = (sha256: string, node: Omit<Known, 'due_at'>, due_ms: number) => {
    const before = known.get(sha256);
    known.delete(sha256);
    for (const [one, held] of known) if (held.is_jwt === true && isOver(clock, held)) known.delete(one);
    makeRoom(known, MOST_KNOWN);
    takenBack.delete(sha256);
    known.set(sha256, { ...node, due_at: clock.monotonic() + due_ms });
    if (before?.node_id !== node.node_id || before.expires_at !== node.expires_at) store.changed();
  };
  const refuse = (sha256: string) => {
    if (known.delete(sha256)) {
      store.changed();
      makeRoom(takenBack, MOST_KNOWN);
      takenBack.add(sha256);
    }
    refused.delete(sha256);
    makeRoom(refused, MOST_REFUSED);
    refused.set(sha256, clock.monotonic() + jittered(REFUSED_MS, random.next()));
  };
  const tell = (why: string, isAboutAll: boolean) => {
    if (told !== why) log.warn(`the cloud can't be asked whose the credentials of other nodes are: ${why}; nodes that are known go on`);
    told = why;
    if (isAboutAll) away = { why, until: clock.monotonic() + AWAY_MS };
    return { away: why };
  };
  const ask = async (sha256: string, credential: string): Promise<WhoseCredential> => {
    try {
      const answer = await deps.ask(credential);
      away = undefined;
      told = undefined;
      const node = nodeIn(answer);
      if (node === undefined) refuse(sha256);
      else keep(sha256, isJwt(credential) ? { ...node, is_jwt: true } : node, jittered(ASK_AGAIN_MS, random.next()));
      return node;
    } catch (error) {
      // An answer about this one says nothing about others.
      return tell(messageOf(error), !(error instanceof ApiError && error.problem.code === 'unavailable'));
    }
  };
  const askAnew = async (sha256: string, credential: string) => ((await deps.limit.take(ALL)) > 0 ? TOO_MANY : ask(sha256, credential));
  /** One at a time for each credential. Undefined while too many are under way. */
  const once = (sha256: string, work: () => Promise<WhoseCredential>): Promise<WhoseCredential> | undefined => {
    const running = asking.get(sha256);
    if (running !== undefined || asking.size >= MOST_AT_ONCE) return running;
    const asked = work().finally(() => asking.delete(sha256));
    asking.set(sha256, asked);
    return asked;
  };
  const isAway = () => away !== undefined && clock.monotonic() < away.until;
  return {
    async nodeOf(credential, proof) {
      const sha256 = await sha256Hex(credential);
      await store.loaded();
      const one = known.get(sha256);
      if (one !== undefined && !isOver(clock, one)) {
        if (clock.monotonic() >= one.due_at && deps.mayAsk() && !isAway()) {
          one.due_at = clock.monotonic() + jittered(RETRY_MS, random.next());
          void once(sha256, () => ask(sha256, credential));
        }
        return toNode(one);
      }
      if (clock.monotonic() < (refused.get(sha256) ?? 0)) return undefined;
      // Of one that has ended nothing is believed but what the cloud says.
      const proved = one !== undefined || takenBack.has(sha256) || proof === undefined ? undefined : await prove(deps, credential, proof);
      if (proved !== undefined) {
        keep(sha256, proved, random.next() * RETRY_MS);
        return proved;
      }
      if (!deps.mayAsk()) return undefined;
      const running = asking.get(sha256);
      if (running !== undefined) return running;
      if (away !== undefined && isAway()) return { away: away.why };
      return once(sha256, () => askAnew(sha256, credential)) ?? TOO_MANY;
    },
  };
}

/** The one that came first gives way. */
function makeRoom(some: Map<string, unknown> | Set<string>, most: number): void {
  const [first] = some.size >= most ? some.keys() : [];
  if (first !== undefined) some.delete(first);
}

async function prove({ fleet, keys, clock }: KnownNodesDeps, credential: string, proof: string): Promise<KnownNode | undefined> {
  const proved = await nodeProved({ fleet, documents: keys.documents }, credential, proof);
  if (proved?.isByOldKey !== true) return proved && { node_id: proved.node_id };
  // Who has stolen the old fleet key proves what he likes until it ends.
  const expires_at = keys.replacedUntil();
  const node = expires_at === undefined ? undefined : { node_id: proved.node_id, expires_at };
  return node === undefined || isOver(clock, node) ? undefined : node;
}

/** They share one limit, whoever sends them. */
const ALL = 'unknown credentials';
const TOO_MANY = { away: 'too many credentials that are not known came at once' };

function nodeIn(answer: IntrospectAnswer): KnownNode | undefined {
  if (!answer.active) return undefined;
  const { node_id, expires_at } = answer;
  return { node_id, ...(expires_at === undefined ? {} : { expires_at: fromTimestamp(expires_at) }) };
}

function toNode({ node_id, expires_at }: KnownNode): KnownNode {
  return { node_id, ...(expires_at === undefined ? {} : { expires_at }) };
}

/** A clock that can't be believed ends nothing. */
function isOver(clock: Clock, { expires_at }: KnownNode): boolean {
  return expires_at !== undefined && clock.trusted() && clock.now() >= expires_at;
}

/** The file behind `known`: read once, before the first question, and written after each change, one write at a time. */
function createStore(deps: KnownNodesDeps, known: Map<string, Known>) {
  const { fleet, clock } = deps;
  let [isDirty, isWriting] = [false, false];
  let loading: Promise<void> | undefined;
  const write = async () => {
    isWriting = true;
    for (; isDirty; await clock.sleep(WRITE_GAP_MS)) {
      isDirty = false;
      await writeKnownNodes(deps, { fleet, nodes: [...known].map(([sha256, { due_at, ...one }]) => ({ sha256, ...one })) });
    }
    isWriting = false;
  };
  const load = async () => {
    const kept = await readKnownNodes(deps, fleet);
    // Asked again at the first chance: nobody knows for how long this node was away.
    for (const { sha256, ...node } of kept.slice(-MOST_KNOWN)) known.set(sha256, { ...node, due_at: clock.monotonic() });
  };
  return {
    loaded(): Promise<void> {
      loading ??= load();
      return loading;
    },
    changed(): void {
      isDirty = true;
      if (!isWriting) void write();
    },
  };
}
