import * as z from 'zod';
import { Count, Id, Timestamp } from './ids.ts';

/** What an issued key allows. `node`: acting as one node. `join`: asking for what a new node needs, and nothing else. */
export const KeyScope = z.enum(['viewer', 'operator', 'node', 'join']).meta({ id: 'KeyScope' });
export type KeyScope = z.infer<typeof KeyScope>;

/** A join key that names no end holds for a day. */
export const JOIN_SECONDS = 86_400;
/** The longest life of a key that has an end: ten years. */
const MAX_SECONDS = 315_360_000;

/** As an operator sends it: an unknown field is an error. */
export const CreateKeyRequest = z
  .strictObject({
    scope: KeyScope,
    /** What it is for, for people. */
    label: z.string().max(128).optional(),
    /** With the scope `node`, and needed there. */
    node_id: Id.optional(),
    /** With the scope `join`: the nodes that it lets in are of this site. */
    site: Id.optional(),
    /** With the scope `join`: how many nodes it lets in. Absent: as many as come. */
    max_uses: z.number().int().min(1).max(10_000).optional(),
    /** Absent: it holds until it is revoked; a join key for a day. */
    expires_in_seconds: z.number().int().min(1).max(MAX_SECONDS).optional(),
  })
  .superRefine(({ scope, node_id, site, max_uses }, context) => {
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if (scope === 'node' && node_id === undefined) refuse('node_id', 'is needed with the scope node');
    if (scope !== 'node' && node_id !== undefined) refuse('node_id', 'goes with the scope node only');
    if (scope !== 'join' && site !== undefined) refuse('site', 'goes with the scope join only');
    if (scope !== 'join' && max_uses !== undefined) refuse('max_uses', 'goes with the scope join only');
  })
  .meta({ id: 'CreateKeyRequest' });
export type CreateKeyRequest = z.infer<typeof CreateKeyRequest>;

/** `used_up`: a join key that has let in as many nodes as it may. */
export const KeyState = z.enum(['active', 'expired', 'revoked', 'used_up']).meta({ id: 'KeyState' });
export type KeyState = z.infer<typeof KeyState>;

/** All that is kept of an issued key but its hash. */
export const IssuedKey = z
  .object({
    key_id: Id,
    scope: KeyScope,
    state: KeyState,
    label: z.string().optional(),
    node_id: Id.optional(),
    site: Id.optional(),
    max_uses: Count.optional(),
    /** Of a join key: how many nodes it has let in. */
    uses: Count.optional(),
    created_at: Timestamp,
    /** The credential that made it. */
    created_by: z.string(),
    expires_at: Timestamp.optional(),
    /** Written at most once an hour. */
    last_used_at: Timestamp.optional(),
    revoked_at: Timestamp.optional(),
  })
  .meta({ id: 'IssuedKey' });
export type IssuedKey = z.infer<typeof IssuedKey>;

/** The only answer that ever holds the key itself. */
export const CreatedKey = IssuedKey.extend({
  key: z.string(),
  /** The node that keeps it: the key holds at its site while that node leads, and is not handed on to the next leader. Absent at a cloud. */
  leader_node_id: Id.optional(),
}).meta({ id: 'CreatedKey' });
export type CreatedKey = z.infer<typeof CreatedKey>;

export const KeyList = z.object({ keys: z.array(IssuedKey), next: z.string().optional() }).meta({ id: 'KeyList' });
export type KeyList = z.infer<typeof KeyList>;

/** `bpi~<fleet>~<key id>~<secret>`; no name holds a `~`. */
const ISSUED = /^bpi~([^~]+)~([^~]+)~[^~]+$/;

export function formatIssuedKey({ fleet, key_id }: IssuedKeyName, secret: string): string {
  return `bpi~${fleet}~${key_id}~${secret}`;
}

export interface IssuedKeyName {
  readonly fleet: string;
  readonly key_id: string;
}

/** Undefined for a credential of another kind; says nothing about whether it is genuine. */
export function parseIssuedKey(credential: string): IssuedKeyName | undefined {
  const [, fleet, key_id] = ISSUED.exec(credential) ?? [];
  return fleet === undefined || key_id === undefined ? undefined : { fleet, key_id };
}
