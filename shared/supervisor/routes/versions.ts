import * as z from 'zod';
import { type DocumentKind, OfferAnswer, VersionsOffer } from '../../contract/document.ts';
import { Id } from '../../contract/ids.ts';
import type { Decider } from '../../decide/merge.ts';
import type { Caller } from '../auth.ts';
import { OFFER_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { believeEmergencies, keepEmergencies } from '../emergency-versions.ts';
import { mergeVersions } from '../merge-versions.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';

const OfferQuery = z.strictObject({
  site: Id.default('default'),
  /** `sender`: what the sender offers stands where the two diverged. For a node that mirrors its leader into its own Supervisor. */
  decider: z.enum(['receiver', 'sender']).default('receiver'),
});

/** How the versions of a document travel between Supervisors. */
export function offerRoute(context: Context, { kind, path, title }: { kind: DocumentKind; path: string; title: string }): Route {
  return route('node', {
    method: 'post',
    path: `${path}/versions`,
    tag: 'documents',
    summary: `Takes versions of the ${title} that another Supervisor published`,
    query: OfferQuery,
    body: VersionsOffer,
    max_bytes: OFFER_BYTES,
    answers: { 200: { description: 'What came of it. The same offer again changes nothing.', schema: OfferAnswer } },
    problems: ['storage_corrupt', 'unavailable'],
    async handle({ caller, query: { site, decider }, body }) {
      const emergencies = await believeEmergencies(caller.keys, kind, context.options.self?.site ?? site, body.emergencies);
      const answer = await mergeVersions(context, {
        kind,
        keys: caller.keys,
        offer: body,
        decider: decider === 'sender' ? yieldTo(context, caller) : deciderHere(context),
        site,
      });
      const told = emergencies.length === 0 ? {} : { new_emergencies: await keepEmergencies(context, emergencies) };
      return json({ ...answer, ...told } satisfies OfferAnswer);
    },
  });
}

/** The cloud decides, and so does a node that leads. Any other Supervisor takes what those say. */
function deciderHere({ options: { self } }: Context): Decider {
  if (self === undefined) return 'ours';
  if (!self.leadership().leads) return 'theirs';
  return self.documents_url === undefined ? 'ours' : 'cloud';
}

/** Only the node that this Supervisor runs inside knows whom it follows. */
function yieldTo({ options: { self } }: Context, { node_id }: Caller): Decider {
  if (self !== undefined && node_id === self.node_id) return 'theirs';
  throw new ProblemError('forbidden', 'only the node of this Supervisor may say that another decides: leave decider out');
}
