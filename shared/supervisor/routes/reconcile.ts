import * as z from 'zod';
import type { DocumentBody, DocumentKind } from '../../contract/document.ts';
import { DraftDocuments, type Drafts, ReconcileDiff } from '../../contract/reconcile.ts';
import { check, DOCUMENT_BYTES } from '../body.ts';
import type { Context, SupervisorOptions } from '../context.ts';
import { type Body, checkDocument } from '../documents.ts';
import { createDraftPlacement, type DraftPlacement } from '../draft-placement.ts';
import { ProblemError } from '../problem.ts';
import { json, type RawCall, type Route, route } from '../route.ts';

type Diff = NonNullable<SupervisorOptions['reconcile_diff']>;

export function reconcileRoutes({ options }: Context): Route[] {
  const { reconcile_diff } = options;
  if (reconcile_diff === undefined) return [];
  return [current(reconcile_diff), drafted(reconcile_diff, createDraftPlacement(options))];
}

function current(diff: Diff): Route {
  return route('viewer', {
    method: 'get',
    path: '/v1/reconcile/diff',
    tag: 'reconcile',
    summary: 'What the next reconcile of this node would do; writes nothing',
    answers: { 200: { description: 'The actions by component, with their safety.', schema: ReconcileDiff } },
    handle: async () => json(await diff()),
  });
}

/**
 * Made by hand: a draft is checked as it was written, not as the schema gives it. For who may publish it: it makes the node
 * read whatever the draft names on its backends.
 */
function drafted(diff: Diff, placement: DraftPlacement): Route {
  return {
    scope: 'operator',
    method: 'post',
    path: '/v1/reconcile/diff',
    tag: 'reconcile',
    summary: 'What a plan or a profile that is not published would do on this node; stores and writes nothing',
    body: DraftDocuments,
    max_bytes: 2 * DOCUMENT_BYTES,
    answers: { 200: { description: 'The actions of the components that the drafts are about, with their safety.', schema: ReconcileDiff } },
    run: async ({ caller, body }: RawCall<{ readonly fleet: string } | undefined>) => {
      if (caller === undefined) throw new TypeError('a comparison was mounted without its scope');
      return json(await diff(await readDrafts(body, (plan) => placement(caller.fleet, plan))));
    },
  };
}

const Given = z.strictObject({
  profile: z.record(z.string(), z.unknown()).optional(),
  plan: z.record(z.string(), z.unknown()).optional(),
});

async function readDrafts(body: unknown, place: (plan: DocumentBody<'plan'>) => Promise<Drafts['placed']>): Promise<Drafts> {
  const given = check(Given, body, 'invalid_body');
  const profile = given.profile && checkDraft('profile', given.profile);
  const plan = given.plan && checkDraft('plan', given.plan);
  if (profile === undefined && plan === undefined) throw new ProblemError('invalid_body', 'send a draft: `profile`, `plan` or both');
  const placed = plan && (await place(plan));
  return { ...(profile && { profile }), ...(plan && { plan }), ...(placed && { placed }) };
}

/** As publishing checks it; pointers lead into the call's own body. */
function checkDraft<K extends DocumentKind>(kind: K, body: Body): DocumentBody<K> {
  try {
    return checkDocument(kind, body).parsed;
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { detail, errors = [] } = error.problem;
    const placed = errors.map((one) => ({ ...one, pointer: `/${kind}${one.pointer}` }));
    throw new ProblemError('invalid_body', `${kind}: ${detail}`, { errors: placed });
  }
}
