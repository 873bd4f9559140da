import * as z from 'zod';
import { fromTimestamp, HttpUrl, Id, Timestamp } from './ids.ts';
import { Bytes32, type JoinAnswer } from './join.ts';

/** What a node keeps that has joined without the fleet key: the answer that let it in, and a secret of its own. */
export const Member = z.object({
  node_id: Id,
  fleet: Id,
  /** Absent: the node is of the site that its settings name. */
  site: Id.optional(),
  /** Origin of who let it in, over https or inside this machine. It and the configured cloud are asked again, nobody else. */
  joined_at: HttpUrl,
  /** True where that is a cloud control URL. */
  is_cloud: z.boolean(),
  /** What this node shows to others (`bpn~…`). Absent for one that has a JWT or an issued key instead. */
  credential: z.string().max(1024).optional(),
  /** Proves that to a leader which has not the fleet key. Absent: who let it in does not know of it yet, or there is no such credential. */
  credential_proof: z.string().max(128).optional(),
  /** The issued key of this node (`bpi~…`): goes over https or inside this machine only. */
  issued_key: z.string().max(1024).optional(),
  discovery_key: Bytes32,
  /** Ed25519 public keys whose documents are good, the one that signs now first. */
  document_keys: z.array(Bytes32).min(1).max(8),
  /** Public keys of before, for what this node has verified and kept itself. Nothing new is believed by them. */
  retired_document_keys: z.array(Bytes32).max(8),
  /** Of a fleet key that is being replaced, for who still has that one. */
  previous: z
    .object({
      discovery_key: Bytes32,
      credential: z.string().max(1024).optional(),
      credential_proof: z.string().max(128).optional(),
      until: Timestamp,
    })
    .optional(),
  /** 32 random bytes that never leave this machine: the tokens of its services, and its owner's key, follow from them. */
  local_key: Bytes32,
  /** When the answer came. */
  asked_at: Timestamp,
});
export type Member = z.infer<typeof Member>;

const RETIRED_KEYS = 8;

/** Document keys that were good and are no more: the newest of them are kept. */
export function retiredKeys(member: Pick<Member, 'document_keys' | 'retired_document_keys'>, document_keys: readonly string[]): string[] {
  const seen = [...member.document_keys, ...member.retired_document_keys].filter((key) => !document_keys.includes(key));
  return [...new Set(seen)].slice(0, RETIRED_KEYS);
}

/**
 * What is kept after asking again at `now`, milliseconds since the Unix epoch. The keys of before hold as long as the answer
 * says, so that a site whose leader has the new fleet key later is no other fleet meanwhile.
 */
export function renewed(member: Member, answer: JoinAnswer, now: number, asked_at: string): Member {
  const { discovery_key, document_keys, replaces_until } = answer;
  const { previous: before, credential: _, credential_proof: __, ...rest } = member;
  const isReplaced = discovery_key !== member.discovery_key;
  const hasSame = answer.credential === undefined || answer.credential === member.credential;
  const old = isReplaced ? { discovery_key: member.discovery_key, ...shownBy(member) } : before;
  const until = isReplaced ? replaces_until : (replaces_until ?? before?.until);
  const previous = old !== undefined && until !== undefined && fromTimestamp(until) > now ? { ...old, until } : undefined;
  return {
    ...rest,
    // An older cloud gives the same credential without a proof: the one of before goes on proving it.
    ...(hasSame ? { ...shownBy(member), ...shownBy(answer) } : shownBy(answer)),
    discovery_key,
    document_keys,
    retired_document_keys: retiredKeys(member, document_keys),
    ...(previous === undefined ? {} : { previous }),
    asked_at,
  };
}

/** What a node shows to others and proves it with. */
function shownBy({
  credential,
  credential_proof,
}: Pick<Member, 'credential' | 'credential_proof'>): Pick<Member, 'credential' | 'credential_proof'> {
  return { ...(credential === undefined ? {} : { credential }), ...(credential_proof === undefined ? {} : { credential_proof }) };
}
