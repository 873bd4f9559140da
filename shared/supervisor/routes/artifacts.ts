import * as z from 'zod';
import { ARTIFACT_BYTES, ArtifactInfo, ArtifactList } from '../../contract/artifact.ts';
import { Sha256 } from '../../contract/ids.ts';
import { ArtifactError, type ArtifactErrorKind, type ArtifactStore, type ByteRange } from '../../ports/artifact-store.ts';
import type { Caller } from '../auth.ts';
import type { Context } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { readRange } from '../range.ts';
import { json, type Route, route } from '../route.ts';

const OCTETS = 'application/octet-stream';
const Params = z.object({ sha256: Sha256 });

export function artifactRoutes(context: Context): Route[] {
  return [list(context), read(context), write(context)];
}

const ListQuery = z.strictObject({
  after: Sha256.optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(1).max(1000))
    .default(100),
});

function list(context: Context): Route {
  return route('any', {
    method: 'get',
    path: '/v1/artifacts',
    tag: 'artifacts',
    summary: 'The artifacts that this Supervisor has',
    query: ListQuery,
    answers: { 200: { description: 'The artifacts, by hash.', schema: ArtifactList } },
    problems: ['no_artifact_store'],
    async handle({ caller, query: { after, limit } }) {
      return json(await toldAs(storeOf(context, caller).list({ limit, ...(after === undefined ? {} : { after }) })));
    },
  });
}

function read(context: Context): Route {
  return route('any', {
    method: 'get',
    path: '/v1/artifacts/{sha256}',
    tag: 'artifacts',
    summary: 'One artifact, or a range of it; HEAD tells its size',
    params: Params,
    headers: z.object({ Range: z.string().optional(), 'If-Range': z.string().optional() }),
    answers: {
      200: { description: 'The artifact.', schema: Octets, content_type: OCTETS },
      206: { description: 'The range that was asked for.', schema: Octets, content_type: OCTETS },
    },
    problems: ['no_artifact', 'range_not_satisfiable', 'no_artifact_store'],
    async handle({ caller, params: { sha256 }, request }) {
      const store = storeOf(context, caller);
      const info = await toldAs(store.head(sha256));
      if (info === undefined) throw noArtifact(sha256);
      const headers = { etag: `"${sha256}"`, 'accept-ranges': 'bytes', 'cache-control': 'private, max-age=31536000, immutable' };
      const range = rangeOf(request, info);
      // A HEAD must not open what nobody reads to its end.
      const found = request.method === 'HEAD' ? undefined : await toldAs(store.get(sha256, range));
      if (found === undefined && request.method !== 'HEAD') throw noArtifact(sha256);
      return new Response(found?.body ?? null, answerTo(info.size, range, { ...headers, 'content-type': OCTETS }));
    },
  });
}

function write(context: Context): Route {
  return route('operator', {
    method: 'put',
    path: '/v1/artifacts/{sha256}',
    tag: 'artifacts',
    summary: 'Stores an artifact under its SHA-256',
    params: Params,
    upload: { content_type: OCTETS, max_bytes: ARTIFACT_BYTES },
    answers: {
      200: { description: 'It was there already; the body was not read.', schema: ArtifactInfo },
      201: { description: 'It is stored.', schema: ArtifactInfo },
    },
    problems: ['artifact_mismatch', 'too_large', 'no_artifact_store'],
    async handle({ caller, params: { sha256 }, request }) {
      const store = storeOf(context, caller);
      const present = await toldAs(store.head(sha256));
      if (present !== undefined) {
        // Tells the store too: one that came from another node was nobody's wish to keep until now.
        await toldAs(store.put(sha256, request.body ?? nothing()));
        return json(present);
      }
      refuseTooLarge(request);
      const info = await toldAs(store.put(sha256, request.body ?? nothing()));
      context.options.log.info('an artifact was stored', { sha256, size: info.size });
      return json(info, { location: `/v1/artifacts/${sha256}` }, 201);
    },
  });
}

const Octets = z.string().meta({ type: 'string', format: 'binary' });

function storeOf({ options: { artifacts } }: Context, { fleet }: Pick<Caller, 'fleet'>): ArtifactStore {
  if (artifacts !== undefined) return typeof artifacts === 'function' ? artifacts(fleet) : artifacts;
  throw new ProblemError('no_artifact_store', 'this Supervisor has no place for artifacts: push them to a node of the site');
}

function noArtifact(sha256: string): ProblemError {
  return new ProblemError('no_artifact', `there is no artifact ${sha256} here: push it, or ask another node of the site`);
}

/** If-Range (RFC 9110, section 13.1.5): the range counts only for the artifact that the caller has a part of. */
function rangeOf(request: Request, { sha256, size }: ArtifactInfo): ByteRange | undefined {
  const condition = request.headers.get('if-range');
  if (condition !== null && condition !== `"${sha256}"`) return undefined;
  const range = readRange(request.headers.get('range'), size);
  if (range === 'none') {
    const detail = `the artifact has ${size} bytes: none in ${request.headers.get('range')}`;
    throw new ProblemError('range_not_satisfiable', detail, {}, { 'content-range': `bytes */${size}` });
  }
  return range === 'whole' ? undefined : range;
}

function answerTo(size: number, range: ByteRange | undefined, headers: Readonly<Record<string, string>>): ResponseInit {
  if (range === undefined) return { status: 200, headers: { ...headers, 'content-length': String(size) } };
  const length = range.end - range.start + 1;
  return {
    status: 206,
    headers: { ...headers, 'content-length': String(length), 'content-range': `bytes ${range.start}-${range.end}/${size}` },
  };
}

/** A body of which the length is known is refused before it comes; the store counts the others. */
function refuseTooLarge(request: Request): void {
  const length = Number(request.headers.get('content-length') ?? 0);
  if (length > ARTIFACT_BYTES)
    throw new ProblemError('too_large', `an artifact may have ${ARTIFACT_BYTES} bytes and no more, not ${length}`);
}

function nothing(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

const PROBLEM_OF: Record<ArtifactErrorKind, 'artifact_mismatch' | 'too_large' | 'storage_full' | 'unavailable'> = {
  mismatch: 'artifact_mismatch',
  too_large: 'too_large',
  full: 'storage_full',
  failed: 'unavailable',
};

async function toldAs<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    throw Object.assign(new ProblemError(PROBLEM_OF[error.kind], error.message), { cause: error });
  }
}
