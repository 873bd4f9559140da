import { fromBase64Url } from './base64url.ts';
import { type DocumentVerifier, deriveFleetKeys, documentVerifier, hintsOf, type MemberKeys } from './fleet-keys.ts';
import { fromTimestamp } from './ids.ts';
import type { Member } from './member.ts';

/** The keys of a member as they are now; `follow` puts others in their place, in every hand that has them. */
export interface FollowingKeys extends MemberKeys {
  /** Rejects for what is no key; then nothing has changed. */
  follow(member: Member): Promise<void>;
  /** True for an origin whose last proof was made with the discovery key that is being replaced. */
  hasOldKey(origin: string): boolean;
  /** Until when the keys of before are good, milliseconds since the Unix epoch; undefined where they are not, or nobody said how long. */
  replacedUntil(): number | undefined;
}

type Hints = Awaited<ReturnType<typeof hintsOf>>;

interface Held {
  readonly hints: Hints;
  readonly documents: DocumentVerifier;
  readonly retired: readonly string[];
  readonly previous: { readonly hints: Hints; readonly until: number } | undefined;
}

/** `now`: milliseconds since the Unix epoch. Rejects for a member that holds what is no key. */
export async function memberKeys(member: Member, now: () => number): Promise<FollowingKeys> {
  const { fleet, node_id, local_key } = member;
  let held = await read(member);
  // As if this node were a fleet by itself, of whose keys nobody else knows: its credential, its services, its owner.
  const local = await deriveFleetKeys(fleet, local_key);
  const old = new Set<string>();
  const note = (value: Record<string, unknown>, isOld: boolean) => {
    if (value.purpose !== 'leader-proof' || typeof value.origin !== 'string') return;
    if (isOld) old.add(value.origin);
    else old.delete(value.origin);
  };
  return {
    fleet,
    node_id,
    local_credential: await local.nodeCredential(node_id),
    isLocalKey: local.isFleetKey,
    verifyNodeCredential: local.verifyNodeCredential,
    serviceToken: local.serviceToken,
    verifyServiceToken: local.verifyServiceToken,
    signHint: (value) => held.hints.signHint(value),
    async verifyHint(value, signature) {
      const { hints, previous } = held;
      const isNew = await hints.verifyHint(value, signature);
      const isOld = !isNew && previous !== undefined && now() < previous.until && (await previous.hints.verifyHint(value, signature));
      if (isNew || isOld) note(value, isOld);
      return isNew || isOld;
    },
    get documents() {
      return held.documents;
    },
    get retired_document_keys() {
      return held.retired;
    },
    async follow(next) {
      held = await read(next);
      old.clear();
    },
    hasOldKey: (origin) => old.has(origin),
    replacedUntil: () => held.previous?.until,
  };
}

async function read({ discovery_key, document_keys, retired_document_keys, previous }: Member): Promise<Held> {
  const [first, ...others] = await Promise.all(document_keys.map(documentVerifier));
  if (first === undefined) throw new TypeError('a member trusts no document key');
  return {
    hints: await hintsOf(bytesOf(discovery_key)),
    documents: { ...first, ...(others.length === 0 ? {} : { others }) },
    retired: retired_document_keys,
    previous:
      previous === undefined ? undefined : { hints: await hintsOf(bytesOf(previous.discovery_key)), until: fromTimestamp(previous.until) },
  };
}

function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64Url(key);
  if (bytes?.length !== 32) throw new TypeError('a key has not 32 bytes');
  return bytes;
}
