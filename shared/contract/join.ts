import * as z from 'zod';
import { Id, Timestamp } from './ids.ts';

/** 32 bytes as base64url without padding (RFC 4648, section 5). */
export const Bytes32 = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes as base64url');

/**
 * Asks for what a node needs to be of a fleet without holding its fleet key: with a join key, or with the node's own
 * credential to have it renewed.
 */
export const JoinRequest = z
  .object({
    node_id: Id,
    /** The site that the node is to be of; a join key that is bound to a site names it itself. */
    site: Id.optional(),
  })
  .meta({ id: 'JoinRequest' });
export type JoinRequest = z.infer<typeof JoinRequest>;

/**
 * What a node keeps instead of the fleet key. Given over https or inside one machine only. None of it signs
 * documents, and `credential` is good for acting as this node alone.
 */
export const JoinAnswer = z
  .object({
    node_id: Id,
    fleet: Id,
    /** Absent: the key is bound to no site, and the node named none. */
    site: Id.optional(),
    /**
     * Of this node (`bpn~…`), for a join key, the fleet key, and who presented such a one. Absent for an issued key of the node
     * and a JWT: those go on with what they have. Asking again with it, at each start and once a day, brings the one that follows a
     * rotation of the fleet key.
     */
    credential: z.string().max(1024).optional(),
    /** With `credential`: proves it to a leader that has not the fleet key (`credential-proof.ts`). */
    credential_proof: z.string().max(128).optional(),
    /** When what was given under the fleet key of before ends to hold; absent while none is being replaced. */
    replaces_until: Timestamp.optional(),
    /** The HMAC-SHA256 key of adverts and leader proofs. */
    discovery_key: Bytes32,
    /** The Ed25519 public keys whose documents are good, the one that signs now first. */
    document_keys: z.array(Bytes32).min(1).max(8),
  })
  .meta({ id: 'JoinAnswer' });
export type JoinAnswer = z.infer<typeof JoinAnswer>;
