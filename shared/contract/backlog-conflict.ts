import * as z from 'zod';
import { EnvironmentComponentName } from './backlog.ts';
import { Count, Id, Sha256, Timestamp } from './ids.ts';

/** Names a conflict on its node: the component and what counts it there. Whatever waits again and fails again has another one. */
export const ConflictId = z
  .string()
  .regex(/^(storage|broker|vector)-[0-9a-z]{1,80}$/, 'must be the id of a conflict, as `bootplane backlog` shows it');

/** `exchange`, `queue` and `binding`: what a service declared while the broker was away. */
export const ConflictKind = z.enum(['object', 'vector', 'exchange', 'queue', 'binding', 'message']);
export type ConflictKind = z.infer<typeof ConflictKind>;

const Content = z.object({
  /** Bytes. */
  size: Count.optional(),
  /** Of an object the SHA-256 of its bytes; of a vector that of its content. Absent where its side keeps none. */
  hash: Sha256.optional(),
  modified_at: Timestamp.optional(),
});

const Theirs = z.union([
  z.object({ holds: z.literal(false) }),
  Content.extend({ holds: z.literal(true) }),
  z.object({ holds: z.literal('unknown'), why: z.string() }),
]);

/** What did not go over from an embedded default to its external, and waits for a person. */
export const BacklogConflict = z
  .object({
    id: ConflictId,
    component: EnvironmentComponentName,
    kind: ConflictKind,
    /** The bucket, the class, or the queue of a message; empty for a declaration. */
    place: z.string(),
    /** The key, the id, the id of the message, or the declaration as JSON. */
    key: z.string(),
    /** Why it did not go over, in words. */
    reason: z.string(),
    since: Timestamp.optional(),
    /** What this node kept. `deleted`: that it has to go. `missing`: the embedded default holds it no more. */
    ours: Content.extend({ deleted: z.literal(true).optional(), missing: z.literal(true).optional() }),
    /** What the external holds there: nothing, or something, or that is not known now. Absent where nothing is replaced. */
    theirs: Theirs.optional(),
    /** Names what is shown here of both sides: `keep: ours` takes it. Absent where ours can't go now. */
    tag: Sha256.optional(),
  })
  .meta({ id: 'BacklogConflict' });
export type BacklogConflict = Readonly<z.infer<typeof BacklogConflict>>;

/** `GET /v1/backlog/conflicts` of a node, storage first, then broker, then vector; oldest first. Never forwarded. */
export const BacklogConflicts = z
  .object({
    node_id: Id,
    /** The externals, for people, of the components that have one. */
    externals: z.partialRecord(EnvironmentComponentName, z.string()),
    conflicts: z.array(BacklogConflict),
    /** What waits for externals that are configured no more: `POST /v1/backlog/move` lets it go to the one of now. */
    elsewhere: z.array(z.object({ component: EnvironmentComponentName, identity: z.string(), waiting: Count })).optional(),
    /** The cursor behind the last one; absent where there are no more. */
    next: ConflictId.optional(),
  })
  .meta({ id: 'BacklogConflicts' });
export type BacklogConflicts = Readonly<z.infer<typeof BacklogConflicts>>;

/**
 * `external`: ours is given up. It waits no more, and what the embedded default holds stays there; only a message has no
 * place but its queue, and is removed. `ours`: it replaces what the external holds, if that still is what `tag` names.
 */
export const ConflictDecision = z
  .discriminatedUnion('keep', [
    z.strictObject({ id: ConflictId, keep: z.literal('external') }),
    z.strictObject({ id: ConflictId, keep: z.literal('ours'), tag: Sha256 }),
  ])
  .meta({ id: 'ConflictDecision' });
export type ConflictDecision = Readonly<z.infer<typeof ConflictDecision>>;

export const ConflictResolved = z
  .object({
    node_id: Id,
    id: ConflictId,
    keep: z.enum(['external', 'ours']),
    /** What was done, in words. */
    message: z.string(),
    /** Whose credential decided it. */
    decided_by: z.string(),
  })
  .meta({ id: 'ConflictResolved' });
export type ConflictResolved = Readonly<z.infer<typeof ConflictResolved>>;

/** Lets what waits for an external that is configured no more go to the one of now. */
export const BacklogMove = z
  .strictObject({
    component: EnvironmentComponentName,
    /** The identity of the one before, as `elsewhere` names it. */
    from: z.string().min(1).max(4096),
  })
  .meta({ id: 'BacklogMove' });
export type BacklogMove = Readonly<z.infer<typeof BacklogMove>>;

export const BacklogMoved = z
  .object({
    node_id: Id,
    component: EnvironmentComponentName,
    /** How many wait for the one of now by this. */
    moved: Count,
    /** Whose credential decided it. */
    decided_by: z.string(),
  })
  .meta({ id: 'BacklogMoved' });
export type BacklogMoved = Readonly<z.infer<typeof BacklogMoved>>;

/** Why a decision changes nothing. */
export const ConflictRefusalCode = z.enum(['no_such_conflict', 'conflict_changed', 'conflict_stays', 'backend_away']);
export type ConflictRefusalCode = z.infer<typeof ConflictRefusalCode>;

export interface ConflictRefusal {
  readonly code: ConflictRefusalCode;
  /** In words for people. */
  readonly detail: string;
}

/** A decision that changes nothing is an answer. */
export type ConflictAnswer = ConflictResolved | { readonly refused: ConflictRefusal };
