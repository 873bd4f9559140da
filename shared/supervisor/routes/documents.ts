import * as z from 'zod';
import { sha256Hex } from '../../contract/canonical.ts';
import {
  type DocumentKind,
  type DocumentMeta,
  documentSchemas,
  type EmergencyEntry,
  History,
  type HistoryEntry,
  MAX_OFFERED_EMERGENCIES,
  PublishAnswer,
  PublishedPlan,
  PublishedProfile,
  toWire,
} from '../../contract/document.ts';
import { Count, Id, Sha256 } from '../../contract/ids.ts';
import { emergencyHolds } from '../../decide/emergency.ts';
import { lineOf } from '../../decide/merge.ts';
import { type Caller, nameOfCaller } from '../auth.ts';
import { check, DOCUMENT_BYTES } from '../body.ts';
import type { Context } from '../context.ts';
import { type Body, type Precondition, publish } from '../documents.ts';
import { publishEmergency } from '../emergency-versions.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type RawCall, type Route, route } from '../route.ts';
import type { VersionRow } from '../store/documents.ts';
import type { EmergencyName } from '../store/emergencies.ts';
import { readFollowing, type VersionKey, verify, verifyEmergency } from '../verified-documents.ts';
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

const SITE_QUERY = 'Whose emergency version is meant while one holds. Default: the site of the node that answers; none on Workers.';

export function documentRoutes(context: Context): Route[] {
  return NOUNS.flatMap((noun) => [
    read(context, noun),
    write(context, noun),
    offerRoute(context, noun),
    history(context, noun),
    version(context, noun),
  ]);
}

function read({ documents, options }: Context, { kind, path, title, published, missing }: Noun): Route {
  return route('any', {
    method: 'get',
    path,
    tag: 'documents',
    summary: `The current ${title} with what publishing added to it`,
    query: z.object({ site: Id.optional().describe(SITE_QUERY) }),
    headers: z.object({ 'If-None-Match': z.string().optional() }),
    answers: {
      200: { description: `The ${title}.`, schema: published },
      304: { description: 'The version that If-None-Match names is still the current one.' },
    },
    problems: [missing, 'storage_corrupt'],
    async handle({ caller, request, query: { site = options.self?.site } }) {
      const readHead = () => readFollowed(documents, caller.fleet, kind, site);
      const answer = async (head: VersionKey | undefined) => {
        if (head === undefined) throw new ProblemError(missing, `no ${title} is published in fleet ${caller.fleet}`);
        const headers = { etag: etagOf(head) };
        if (names(request.headers.get('if-none-match'), headers.etag)) return empty(304, headers);
        return json(toWire((await documents.verified.get(caller.keys, kind, head)).document), headers);
      };
      return readFollowing(readHead, (head) => head?.hash, answer);
    },
  });
}

/** Of a site its emergency version while one holds; else what the fleet has. */
async function readFollowed(
  { store, emergencies }: Context['documents'],
  fleet: string,
  kind: DocumentKind,
  site: string | undefined,
): Promise<VersionKey | undefined> {
  if (site === undefined) return store.head(fleet, kind);
  const row = await emergencies.followed(fleet, kind, site);
  if (row === undefined) return undefined;
  const { generation, hash, n } = row;
  return { generation, hash, ...(n === null ? {} : { emergency: { site, n } }) };
}

const Flag = z.enum(['true', 'false']).optional();
const PublishQuery = z.strictObject({
  dry_run: Flag,
  allow_empty: Flag,
  break_glass: Flag.describe('An emergency version for the site of the node that is asked, which must lead it and have a cloud.'),
  site: Id.optional(),
});

/** Made by hand: its handler needs the body as it was written, not as the schema gives it. */
function write(context: Context, { kind, path, title }: Noun): Route {
  return {
    scope: 'operator',
    method: 'put',
    path,
    tag: 'documents',
    summary: `Publishes ${kind === 'profile' ? 'an' : 'a'} ${title} as the next generation`,
    query: PublishQuery,
    headers: z.object({ 'If-Match': z.string().describe('The generation that this version replaces, quoted: "0" for the first.') }),
    body: documentSchemas[kind],
    max_bytes: DOCUMENT_BYTES,
    answers: { 200: { description: 'Published, or what publishing would do, with the differences.', schema: PublishAnswer } },
    problems: ['precondition_required', 'generation_moved', 'would_empty', 'misdirected'],
    run: (call) => handleWrite(context, kind, call),
  };
}

async function handleWrite(context: Context, kind: DocumentKind, call: RawCall<Caller | undefined>): Promise<Response> {
  if (call.caller === undefined) throw new TypeError('publishing was mounted without its scope');
  const { documents, options } = context;
  const query = check(PublishQuery, call.query, 'invalid_parameter');
  const isEmergency = query.break_glass === 'true';
  refuseUndecided(context, isEmergency, query.site);
  const dry_run = query.dry_run === 'true';
  const body: Body = check(z.record(z.string(), z.unknown()), call.body, 'invalid_body');
  const how = {
    if_match: readIfMatch(call.request.headers.get('if-match'), dry_run),
    dry_run,
    allow_empty: query.allow_empty === 'true',
    published_by: nameOfCaller(call.caller),
    site: options.self?.site ?? query.site ?? 'default',
  };
  const { answer, event } = isEmergency
    ? await publishEmergency(documents.emergencies, options.clock, call.caller.keys, kind, body, how)
    : await publish(documents.store, options.clock, call.caller.keys, kind, body, how);
  if (event !== undefined) context.announce(event);
  return json(answer, dry_run ? {} : { etag: etagOf(answer) });
}

/** Where there is a cloud, it publishes, and a site only what holds for itself. */
function refuseUndecided({ options: { self } }: Context, isEmergency: boolean, site: string | undefined): void {
  const { documents_url } = self ?? {};
  if (!isEmergency) {
    if (documents_url === undefined) return;
    throw new ProblemError(
      'misdirected',
      `the cloud decides about the documents: publish at ${documents_url}`,
      {},
      { location: documents_url },
    );
  }
  if (self === undefined || documents_url === undefined) {
    const why = self === undefined ? 'the cloud decides here' : 'this node has no cloud, so its leader decides';
    throw new ProblemError('invalid_parameter', `break_glass: ${why}; publish without it`);
  }
  if (site !== undefined && self.site !== undefined && site !== self.site) {
    throw new ProblemError(
      'invalid_parameter',
      `site: an emergency version holds for ${self.site}, the site of this node, not for ${site}`,
    );
  }
  if (self.leadership().leads) return;
  throw new ProblemError('misdirected', 'only the leader of a site publishes an emergency version, and this node does not lead now');
}

/** How many versions a history lists: the newest. */
const LISTED_VERSIONS = 1000;

function history(context: Context, { kind, path, title }: Noun): Route {
  return route('any', {
    method: 'get',
    path: `${path}/history`,
    tag: 'documents',
    summary: `The newest ${LISTED_VERSIONS} versions of the ${title}, newest first, without their bodies`,
    query: z.object({ site: Id.optional().describe('Whose emergency versions are listed; without it those of all sites that are known.') }),
    headers: z.object({ 'If-None-Match': z.string().optional() }),
    answers: {
      200: { description: 'The versions.', schema: History },
      304: { description: 'The list that If-None-Match names is still the current one.' },
    },
    async handle({ caller, request, query: { site } }) {
      const rows = await context.documents.store.history(caller.fleet, kind, LISTED_VERSIONS);
      const emergencies = await readEmergencies(context, caller.fleet, kind, site);
      const headers = { etag: await etagOfHistory(rows, emergencies) };
      if (names(request.headers.get('if-none-match'), headers.etag)) return empty(304, headers);
      return json(
        {
          versions: rows.map(toEntry),
          ...(emergencies.length === 0 ? {} : { emergencies: emergencies.map(toEmergency(rows)) }),
        } satisfies History,
        headers,
      );
    },
  });
}

function version({ documents, options }: Context, { kind, path, title, published }: Noun): Route {
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
    query: z.object({
      hash: Sha256.optional().describe('Of two versions of one generation, the one that is meant.'),
      emergency: z.coerce.number().int().min(1).optional().describe('The number of an emergency version on this generation.'),
      site: Id.optional().describe('Whose emergency version is meant.'),
    }),
    answers: {
      200: { description: 'The version. Of several, the one that is current or that the current one was made from.', schema: published },
    },
    problems: ['no_such_generation', 'storage_corrupt'],
    async handle({ caller, params: { generation }, query: { hash, emergency: n, site = options.self?.site ?? 'default' } }) {
      if (n !== undefined) {
        const row = await documents.emergencies.version(caller.fleet, kind, site, { generation, n, hash });
        if (row !== undefined) return json(toWire(await verifyEmergency(caller.keys, row)), { etag: etagOf({ ...row, emergency: row }) });
        const what = `the ${title} has no emergency version ${n} on generation ${generation} for the site ${site}`;
        throw new ProblemError('no_such_generation', `${what}; GET ${path}/history lists those there are`);
      }
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

/** Of one site as many as travel between Supervisors. */
function readEmergencies({ documents }: Context, fleet: string, kind: DocumentKind, site: string | undefined): Promise<EmergencyName[]> {
  return documents.emergencies.list(fleet, kind, site, site === undefined ? LISTED_VERSIONS : MAX_OFFERED_EMERGENCIES);
}

/** Of each site the newest one holds, unless the sequence has gone on since. */
function toEmergency(
  versions: readonly VersionRow[],
): (row: EmergencyName, index: number, all: readonly EmergencyName[]) => EmergencyEntry {
  const head = versions.find(({ current }) => current === 1);
  return ({ fleet: _fleet, kind: _kind, site, n, parent, ...meta }, index, all) => {
    const base = parent === null ? {} : { parent };
    const isNewest = all.findIndex((one) => one.site === site) === index;
    const emergency = { site, base_generation: meta.generation, n };
    return { ...meta, ...base, emergency, holds: isNewest && emergencyHolds({ generation: meta.generation, ...base }, head) };
  };
}

/** Two Supervisors that hold the same versions have the same one. */
async function etagOfHistory(rows: readonly VersionRow[], emergencies: readonly EmergencyName[]): Promise<string> {
  const lines = rows.map(({ generation, hash, conflict, current }) => `${generation} ${hash} ${conflict} ${current}`);
  const more = emergencies.map(({ site, generation, n, hash }) => `emergency ${site} ${generation} ${n} ${hash}`);
  return `"${(await sha256Hex([...lines, ...more].sort().join('\n'))).slice(0, 32)}"`;
}

/** The hash tells two seeds apart, which are both generation 0. An emergency version adds its number. */
function etagOf({
  generation,
  hash,
  emergency,
}: Pick<DocumentMeta, 'generation' | 'hash'> & { emergency?: { n: number } | undefined }): string {
  return `"${generation}-${hash.slice(0, 16)}${emergency === undefined ? '' : `-e${emergency.n}`}"`;
}

/** If-None-Match (RFC 9110, section 13.1.2): a list of tags, weak or not, or `*`. */
function names(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}

/** If-Match holds the generation alone, `"7"`, or an ETag that was read, `"7-…"`, which ends in `-e2` for an emergency version. */
function readIfMatch(header: string | null, dry_run: boolean): Precondition | undefined {
  if (header === null) {
    if (dry_run) return undefined;
    throw new ProblemError(
      'precondition_required',
      'send the generation that this version replaces as If-Match: "<generation>", "0" for the first',
    );
  }
  const [, generation, hash_prefix = ''] = /^"(\d{1,15})(?:-([0-9a-f]{16})(?:-e\d{1,9})?)?"$/.exec(header) ?? [];
  if (generation === undefined) {
    throw new ProblemError('invalid_parameter', `If-Match must be one quoted generation, as "7", not ${header}`);
  }
  return { generation: Number(generation), hash_prefix };
}
