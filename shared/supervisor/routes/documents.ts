import * as z from 'zod';
import { sha256Hex } from '../../contract/canonical.ts';
import {
  type DocumentKind,
  type DocumentMeta,
  documentSchemas,
  History,
  type HistoryEntry,
  PublishAnswer,
  PublishedPlan,
  PublishedProfile,
  toWire,
} from '../../contract/document.ts';
import { Count, Id, Sha256 } from '../../contract/ids.ts';
import { lineOf } from '../../decide/merge.ts';
import type { Caller } from '../auth.ts';
import { check, DOCUMENT_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { type Body, type Precondition, publish } from '../documents.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type RawCall, type Route, route } from '../route.ts';
import type { HeadRow, VersionRow } from '../store/documents.ts';
import { readFollowing, verify } from '../verified-documents.ts';
import { offerRoute } from './versions.ts';

interface Noun {
  readonly kind: DocumentKind;
  readonly path: string;
  readonly title: string;
  readonly published: z.ZodType;
  readonly missing: 'no_plan' | 'no_profile';
}

const NOUNS: readonly Noun[] = [
  { kind: 'plan', path: '/v1/cluster/plan', title: 'Cluster Plan', published: PublishedPlan, missing: 'no_plan' },
  { kind: 'profile', path: '/v1/bootstrap/profile', title: 'Environment Profile', published: PublishedProfile, missing: 'no_profile' },
];

export function documentRoutes(context: Context): Route[] {
  return NOUNS.flatMap((noun) => [
    read(context, noun),
    write(context, noun),
    offerRoute(context, noun),
    history(context, noun),
    version(context, noun),
  ]);
}

function read({ documents }: Context, { kind, path, title, published, missing }: Noun): Route {
  return route('any', {
    method: 'get',
    path,
    tag: 'documents',
    summary: `The current ${title} with what publishing added to it`,
    headers: z.object({ 'If-None-Match': z.string().optional() }),
    answers: {
      200: { description: `The ${title}.`, schema: published },
      304: { description: 'The version that If-None-Match names is still the current one.' },
    },
    problems: [missing, 'storage_corrupt'],
    async handle({ caller, request }) {
      const readHead = () => documents.store.head(caller.fleet, kind);
      const answer = async (head: HeadRow | undefined) => {
        if (head === undefined) throw new ProblemError(missing, `no ${title} is published in fleet ${caller.fleet}`);
        const headers = { etag: etagOf(head) };
        if (names(request.headers.get('if-none-match'), headers.etag)) return empty(304, headers);
        return json(toWire((await documents.verified.get(caller.keys, kind, head)).document), headers);
      };
      return readFollowing(readHead, (head) => head?.hash, answer);
    },
  });
}

const Flag = z.enum(['true', 'false']).optional();
const PublishQuery = z.strictObject({ dry_run: Flag, allow_empty: Flag, site: Id.optional() });

/** Made by hand: its handler needs the body as it was written, not as the schema gives it. */
function write(context: Context, { kind, path, title }: Noun): Route {
  return {
    scope: 'operator',
    method: 'put',
    path,
    tag: 'documents',
    summary: `Publishes a ${title} as the next generation`,
    query: PublishQuery,
    headers: z.object({ 'If-Match': z.string().describe('The generation that this version replaces, quoted: "0" for the first.') }),
    body: documentSchemas[kind],
    max_bytes: DOCUMENT_BYTES,
    answers: { 200: { description: 'Published, or what publishing would do, with the differences.', schema: PublishAnswer } },
    problems: ['precondition_required', 'generation_moved', 'would_empty'],
    run: (call) => handleWrite(context, kind, call),
  };
}

async function handleWrite(context: Context, kind: DocumentKind, call: RawCall<Caller | undefined>): Promise<Response> {
  if (call.caller === undefined) throw new TypeError('publishing was mounted without its scope');
  const query = check(PublishQuery, call.query, 'invalid_parameter');
  const dry_run = query.dry_run === 'true';
  const body: Body = check(z.record(z.string(), z.unknown()), call.body, 'invalid_body');
  const { answer, event } = await publish(context.documents.store, context.options.clock, call.caller.keys, kind, body, {
    if_match: readIfMatch(call.request.headers.get('if-match'), dry_run),
    dry_run,
    allow_empty: query.allow_empty === 'true',
    published_by: nameOf(call.caller),
    site: query.site ?? 'default',
  });
  if (event !== undefined) context.announce(event);
  return json(answer, dry_run ? {} : { etag: etagOf(answer) });
}

/** How many versions a history lists: the newest. */
const LISTED_VERSIONS = 1000;

function history({ documents }: Context, { kind, path, title }: Noun): Route {
  return route('any', {
    method: 'get',
    path: `${path}/history`,
    tag: 'documents',
    summary: `The newest ${LISTED_VERSIONS} versions of the ${title}, newest first, without their bodies`,
    headers: z.object({ 'If-None-Match': z.string().optional() }),
    answers: {
      200: { description: 'The versions.', schema: History },
      304: { description: 'The list that If-None-Match names is still the current one.' },
    },
    async handle({ caller, request }) {
      const rows = await documents.store.history(caller.fleet, kind, LISTED_VERSIONS);
      const headers = { etag: await etagOfHistory(rows) };
      if (names(request.headers.get('if-none-match'), headers.etag)) return empty(304, headers);
      return json({ versions: rows.map(toEntry) }, headers);
    },
  });
}

function version({ documents }: Context, { kind, path, title, published }: Noun): Route {
  return route('any', {
    method: 'get',
    path: `${path}/history/{generation}`,
    tag: 'documents',
    summary: `One version of the ${title}`,
    params: z.object({
      generation: z
        .string()
        .regex(/^\d{1,15}$/, 'must be a whole number')
        .transform(Number)
        .pipe(Count),
    }),
    query: z.object({ hash: Sha256.optional().describe('Of two versions of one generation, the one that is meant.') }),
    answers: {
      200: { description: 'The version. Of several, the one that is current or that the current one was made from.', schema: published },
    },
    problems: ['no_such_generation', 'storage_corrupt'],
    async handle({ caller, params: { generation }, query: { hash } }) {
      const row =
        hash === undefined
          ? await ofGeneration(documents, caller.fleet, kind, generation)
          : await documents.store.version(caller.fleet, kind, generation, hash);
      if (row === undefined) {
        throw new ProblemError(
          'no_such_generation',
          `the ${title} has no generation ${generation}${hash === undefined ? '' : ` with hash ${hash}`}; GET ${path}/history lists those there are`,
        );
      }
      return json(toWire(await verify(caller.keys, row)), { etag: etagOf(row) });
    },
  });
}

function toEntry({ fleet: _fleet, kind: _kind, parent, current, conflict, ...meta }: VersionRow): z.infer<typeof HistoryEntry> {
  return { ...meta, ...(parent === null ? {} : { parent }), current: current === 1, conflict: conflict === 1, resolved: conflict === 2 };
}

/** After a partition a generation may have several versions: the one in the line of the current version is meant. */
async function ofGeneration({ store, versions }: Context['documents'], fleet: string, kind: DocumentKind, generation: number) {
  const rows = await store.ofGeneration(fleet, kind, generation);
  if (rows.length <= 1) return rows[0];
  const state = await versions.state(fleet, kind);
  const all = state.versions.map(({ parent, ...one }) => ({ ...one, ...(parent === null ? {} : { parent }) }));
  const meant = lineOf(all, state.head).find((one) => one.generation === generation);
  return rows.find(({ hash }) => hash === meant?.hash) ?? rows[0];
}

/** Two Supervisors that hold the same versions have the same one. */
async function etagOfHistory(rows: readonly VersionRow[]): Promise<string> {
  const lines = rows.map(({ generation, hash, conflict, current }) => `${generation} ${hash} ${conflict} ${current}`);
  return `"${(await sha256Hex(lines.sort().join('\n'))).slice(0, 32)}"`;
}

/** Who published, as the document says it: the credential's own name, for the fleet key is one for all. */
function nameOf({ node_id }: Caller): string {
  return node_id ?? 'fleet-key';
}

/** The hash tells two seeds apart, which are both generation 0. */
function etagOf({ generation, hash }: Pick<DocumentMeta, 'generation' | 'hash'>): string {
  return `"${generation}-${hash.slice(0, 16)}"`;
}

/** If-None-Match (RFC 9110, section 13.1.2): a list of tags, weak or not, or `*`. */
function names(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}

/** If-Match holds the generation alone, `"7"`, or an ETag that was read, `"7-…"`. */
function readIfMatch(header: string | null, dry_run: boolean): Precondition | undefined {
  if (header === null) {
    if (dry_run) return undefined;
    throw new ProblemError(
      'precondition_required',
      'send the generation that this version replaces as If-Match: "<generation>", "0" for the first',
    );
  }
  const [, generation, hash_prefix = ''] = /^"(\d{1,15})(?:-([0-9a-f]{16}))?"$/.exec(header) ?? [];
  if (generation === undefined) {
    throw new ProblemError('invalid_parameter', `If-Match must be one quoted generation, as "7", not ${header}`);
  }
  return { generation: Number(generation), hash_prefix };
}
