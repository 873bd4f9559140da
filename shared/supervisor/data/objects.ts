import * as z from 'zod';
import {
  BucketPath,
  MODIFIED_HEADER,
  NewObjectPath,
  ObjectInfo,
  ObjectList,
  ObjectListQuery,
  ObjectPath,
  SHA256_HEADER,
  VERSION_HEADER,
} from '../../contract/data.ts';
import { Sha256 } from '../../contract/ids.ts';
import type { ObjectStorage, ObjectInfo as StoredInfo, StoredObject } from '../../ports/object-storage.ts';
import { ProblemError } from '../problem.ts';
import { readRange } from '../range.ts';
import { empty, json, type Route, route } from '../route.ts';
import { ARTIFACT_BUCKET } from '../store/artifacts.ts';
import { BACKEND_PROBLEMS } from './problems.ts';

const OCTETS = 'application/octet-stream';
const Octets = z.string().meta({ type: 'string', format: 'binary' });

export function objectRoutes(storage: ObjectStorage): Route[] {
  return [list(storage), read(storage), write(storage), remove(storage)];
}

function list(storage: ObjectStorage): Route {
  return route('service', {
    method: 'get',
    path: '/v1/objects/{bucket}',
    tag: 'data',
    summary: 'The objects of a bucket, by key',
    params: BucketPath,
    query: ObjectListQuery,
    answers: { 200: { description: 'The latest version of each object.', schema: ObjectList } },
    problems: ['no_such_bucket', ...BACKEND_PROBLEMS],
    async handle({ params: { bucket }, query: { prefix, after, limit } }) {
      refuseOwn(bucket);
      const options = { limit, ...(prefix === undefined ? {} : { prefix }), ...(after === undefined ? {} : { after }) };
      const { objects, next } = await storage.list(bucket, options);
      return json({ objects: objects.map(toInfo), ...(next === undefined ? {} : { next }) } satisfies ObjectList);
    },
  });
}

function read(storage: ObjectStorage): Route {
  return route('service', {
    method: 'get',
    path: '/v1/objects/{bucket}/{key...}',
    tag: 'data',
    summary: 'One object, or a range of it; HEAD tells what is known of it',
    params: ObjectPath,
    headers: z.object({ Range: z.string().optional(), 'If-Range': z.string().optional() }),
    answers: {
      200: { description: 'The object.', schema: Octets, content_type: OCTETS },
      206: { description: 'The range that was asked for.', schema: Octets, content_type: OCTETS },
    },
    problems: ['no_such_bucket', 'no_such_key', 'range_not_satisfiable', 'storage_corrupt', ...BACKEND_PROBLEMS],
    async handle({ params: { bucket, key }, request }) {
      refuseOwn(bucket);
      if (request.method === 'HEAD') return answer(await storage.head(bucket, key), null);
      const part = request.headers.has('range') ? await readPart(storage, bucket, key, request.headers) : undefined;
      if (part !== undefined) return part;
      const { info, body } = await storage.get(bucket, key);
      return answer(info, body);
    },
  });
}

function write(storage: ObjectStorage): Route {
  return route('service', {
    method: 'put',
    path: '/v1/objects/{bucket}/{key...}',
    tag: 'data',
    summary: 'Stores an object whole and durably, or not at all',
    params: NewObjectPath,
    headers: z.object({
      'If-None-Match': z.literal('*').optional(),
      [SHA256_HEADER]: Sha256.optional(),
      'Content-Type': z.string().optional(),
    }),
    upload: { content_type: OCTETS, max_bytes: Number.POSITIVE_INFINITY },
    answers: {
      200: { description: 'It is stored.', schema: ObjectInfo },
      201: { description: 'It is stored, and the key was free, as If-None-Match asked.', schema: ObjectInfo },
    },
    problems: ['bad_request', 'no_such_bucket', 'already_exists', 'checksum_mismatch', ...BACKEND_PROBLEMS],
    async handle({ params: { bucket, key }, request }) {
      refuseOwn(bucket);
      const options = readPutOptions(request.headers);
      const info = await storage.put(bucket, key, request.body ?? new Uint8Array(), options);
      return json(toInfo(info), { etag: etagOf(info) }, options.if_absent === true ? 201 : 200);
    },
  });
}

function remove(storage: ObjectStorage): Route {
  return route('service', {
    method: 'delete',
    path: '/v1/objects/{bucket}/{key...}',
    tag: 'data',
    summary: 'Removes an object, or hides it where versions are kept; one that is not there is no error',
    params: ObjectPath,
    answers: { 204: { description: 'It is not there.' } },
    problems: ['no_such_bucket', ...BACKEND_PROBLEMS],
    async handle({ params: { bucket, key } }) {
      refuseOwn(bucket);
      await storage.delete(bucket, key);
      return empty(204);
    },
  });
}

/** Artifacts are programs that nodes run: they come in by their own route, under their hash. */
function refuseOwn(bucket: string): void {
  if (bucket === ARTIFACT_BUCKET) throw new ProblemError('forbidden', `the bucket ${bucket} is bootplane's own: use /v1/artifacts`);
}

function readPutOptions(headers: Headers): { if_absent?: true; sha256?: string; content_type?: string } {
  const condition = headers.get('if-none-match');
  if (condition !== null && condition !== '*') {
    throw new ProblemError('bad_request', `the header If-None-Match of an upload may only be *, not ${condition}`);
  }
  const sha256 = headers.get(SHA256_HEADER) ?? undefined;
  if (sha256 !== undefined && !Sha256.safeParse(sha256).success) {
    throw new ProblemError('bad_request', `the header ${SHA256_HEADER} must be 64 lower-case hex digits`);
  }
  const content_type = headers.get('content-type') ?? undefined;
  return {
    ...(condition === null ? {} : { if_absent: true }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(content_type === undefined ? {} : { content_type }),
  };
}

/** Undefined when the whole is to be given: the header may be ignored, If-Range names another object, or it was just replaced. */
async function readPart(storage: ObjectStorage, bucket: string, key: string, headers: Headers): Promise<Response | undefined> {
  const info = await storage.head(bucket, key);
  const condition = headers.get('if-range');
  if (condition !== null && condition !== etagOf(info)) return undefined;
  const range = readRange(headers.get('range'), info.size);
  if (range === 'whole') return undefined;
  if (range === 'none') {
    const detail = `the object has ${info.size} bytes: none in ${headers.get('range')}`;
    throw new ProblemError('range_not_satisfiable', detail, {}, { 'content-range': `bytes */${info.size}` });
  }
  const found = await storage.get(bucket, key, { range });
  if (etagOf(found.info) !== etagOf(info)) {
    await found.body.cancel().catch(() => undefined);
    return undefined;
  }
  return answer(info, found.body, range);
}

function answer(info: StoredInfo, body: StoredObject['body'] | null, range?: { readonly start: number; readonly end: number }): Response {
  const about = {
    etag: etagOf(info),
    'accept-ranges': 'bytes',
    'content-type': info.content_type ?? OCTETS,
    [VERSION_HEADER]: info.version_id,
    [MODIFIED_HEADER]: info.modified_at,
    ...(info.sha256 === undefined ? {} : { [SHA256_HEADER]: info.sha256 }),
  };
  if (range === undefined) return new Response(body, { status: 200, headers: { ...about, 'content-length': String(info.size) } });
  const { start, end } = range;
  const part = { 'content-length': String(end - start + 1), 'content-range': `bytes ${start}-${end}/${info.size}` };
  return new Response(body, { status: 206, headers: { ...about, ...part } });
}

/** By content where the store knows it. A version alone does not tell: without versioning all of them have the same. */
function etagOf({ sha256, version_id, modified_at, size }: StoredInfo): string {
  return `"${sha256 ?? `${version_id}.${modified_at}.${size}`}"`;
}

function toInfo({ key, version_id, size, sha256, content_type, modified_at }: StoredInfo): ObjectInfo {
  return {
    ...{ key, version_id, size, modified_at },
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(content_type === undefined ? {} : { content_type }),
  };
}
