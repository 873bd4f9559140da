import * as z from 'zod';
import { DocumentKind } from './document.ts';
import { parseToken } from './headers.ts';
import { Count, HttpUrl, Id } from './ids.ts';

/** What is current at a Supervisor for one site; `event: current` of `GET /v1/news`. */
export const CurrentNews = z
  .object({
    /** The fencing token of who leads, `<epoch>/<node_id>`; null while nobody does. */
    leader: z
      .string()
      .refine((text) => parseToken(text) !== undefined, 'must be <epoch>/<node_id>')
      .nullable(),
    /** The published generations; null for a document that is not. */
    plan: Count.nullable(),
    profile: Count.nullable(),
    /** The numbers of the emergency versions that hold for the site; absent while none does. */
    emergencies: z.partialRecord(DocumentKind, Count).optional(),
    /** Who takes over from this leader, in order. */
    successors: z.array(z.object({ node_id: Id, url: HttpUrl })),
    /** Grows when a service has moved: who waits for a place asks for its plan. */
    places: Count,
  })
  .meta({ id: 'CurrentNews' });
export type CurrentNews = z.infer<typeof CurrentNews>;

/** `event: goodbye`: the leader has released its lease in order, and somebody is to take over. */
export const GoodbyeNews = z.object({ node_id: Id, epoch: Count }).meta({ id: 'GoodbyeNews' });
export type GoodbyeNews = z.infer<typeof GoodbyeNews>;

export type News =
  | { readonly event: 'current'; readonly current: CurrentNews }
  | { readonly event: 'goodbye'; readonly goodbye: GoodbyeNews };
