import type * as z from 'zod';
import type { $ZodIssue } from 'zod/v4/core';
import { toPointer } from '../contract/pointer.ts';
import type { ProblemCode } from '../contract/problem.ts';
import { ProblemError } from './problem.ts';

/** The largest message, bytes. */
export const MESSAGE_BYTES = 64 * 1024;
/** The largest desired document, bytes. */
export const DOCUMENT_BYTES = 1024 * 1024;
/** The largest offer of versions, bytes: room for one document of the largest size beside others. */
export const OFFER_BYTES = 4 * DOCUMENT_BYTES;

/** Reads a JSON body of at most `limit` bytes. Throws the problem that says what is wrong with it. */
export async function readJson(request: Request, limit: number): Promise<unknown> {
  const type = request.headers.get('content-type');
  if (type === null || !/^application\/json\s*(;|$)/i.test(type)) {
    throw new ProblemError('unsupported_media_type', `the body must be sent as application/json, not ${type ?? 'without a content type'}`);
  }
  const text = await readText(request, limit);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'not JSON';
    throw new ProblemError('malformed_json', text === '' ? 'the body is empty' : `the body is not JSON: ${reason}`);
  }
}

async function readText(request: Request, limit: number): Promise<string> {
  const length = request.headers.get('content-length');
  if (length === null) return readCounting(request, limit);
  if (Number(length) > limit) throw tooLarge(limit);
  const text = await request.text();
  // A Request that was not parsed from the network may carry any length. UTF-16 units never outnumber UTF-8 bytes.
  if (text.length > limit) throw tooLarge(limit);
  return text;
}

/** A chunked body says no length: it is counted while it comes. */
async function readCounting(request: Request, limit: number): Promise<string> {
  return new TextDecoder().decode(await readBytes(request, limit));
}

/** The body as it came, of at most `limit` bytes. Throws `too_large`. */
export async function readBytes(
  { body }: { readonly body: ReadableStream<Uint8Array> | null },
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    bytes += chunk.value.byteLength;
    if (bytes > limit) {
      await reader.cancel().catch(() => undefined);
      throw tooLarge(limit);
    }
    chunks.push(chunk.value);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

function tooLarge(limit: number): ProblemError {
  return new ProblemError('too_large', `the body has more than ${limit} bytes`);
}

/** The value as the schema gives it. Throws the problem `code` with a pointer to each thing that is wrong. */
export function check<T extends z.ZodType>(schema: T, value: unknown, code: ProblemCode): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.slice(0, 20).flatMap((issue) => pointed(issue, []));
  const first = errors[0];
  throw new ProblemError(
    code,
    first === undefined ? 'not valid' : `${first.pointer === '' ? 'the whole' : first.pointer}: ${first.detail}`,
    {
      errors,
    },
  );
}

/** An issue of a union points at the union; what is wrong inside the closest branch says more. */
function pointed(issue: $ZodIssue, above: readonly PropertyKey[]): { pointer: string; detail: string }[] {
  const path = [...above, ...issue.path];
  if (issue.code === 'invalid_union') {
    const closest = issue.errors.filter((branch) => branch.some((one) => one.path.length > 0)).sort((a, b) => a.length - b.length)[0];
    if (closest !== undefined) return closest.flatMap((one) => pointed(one, path));
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: toPointer([...path, key]), detail: 'is not a known key' }));
  }
  return [{ pointer: toPointer(path), detail: issue.message }];
}
