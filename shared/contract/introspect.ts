import * as z from 'zod';
import { Id, Timestamp } from './ids.ts';
import { LONGEST_JWT } from './jwt.ts';

/** Asks whose a credential is, in the manner of RFC 7662, section 2.1. Over https or inside one machine only. */
export const IntrospectRequest = z.object({ token: z.string().min(1).max(LONGEST_JWT) }).meta({ id: 'IntrospectRequest' });
export type IntrospectRequest = z.infer<typeof IntrospectRequest>;

/**
 * Active only for a credential of a node of the caller's own fleet. Everything else is not active: nobody learns whether it is
 * wrong, has ended, is of another fleet, or allows more than a node may.
 */
export const IntrospectAnswer = z
  .discriminatedUnion('active', [
    z.object({ active: z.literal(false) }),
    z.object({
      active: z.literal(true),
      scope: z.literal('node'),
      node_id: Id,
      /** Absent: it has no end of its own. */
      expires_at: Timestamp.optional(),
    }),
  ])
  .meta({ id: 'IntrospectAnswer' });
export type IntrospectAnswer = z.infer<typeof IntrospectAnswer>;
