import type * as z from 'zod';
import { type ClientOptions, callRaw, type RawCall, UnreachableError } from '../client.ts';

/** Who is asked, and with what token. */
export type Connection = Pick<ClientOptions, 'url' | 'credential' | 'fetch'>;

export interface JsonCall<T> extends Omit<RawCall, 'body'> {
  readonly body?: unknown;
  readonly schema?: z.ZodType<T>;
}

/** A call with a JSON answer, or with none where there is no schema. Rejects with `ApiError` or `UnreachableError`. */
export async function callJson<T>(connection: Connection, { body, schema, ...call }: JsonCall<T>): Promise<T> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await callRaw(connection, { ...call, ...json });
  if (schema === undefined) {
    await response.body?.cancel();
    return undefined as T;
  }
  return readJson(connection, call.path, response, schema);
}

export async function readJson<T>({ url }: Connection, path: string, response: Response, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await response.json().catch(() => undefined));
  if (parsed.success) return parsed.data;
  const what = parsed.error.issues[0]?.message ?? '';
  throw new UnreachableError('not_understood', `${url} answered ${path} with something else than this version of bootplane knows: ${what}`);
}

/** One segment of a path. `.` and `..` would name another path, whatever way they are written. */
export function segment(text: string): string {
  if (text === '.' || text === '..' || text === '') throw new TypeError(`"${text}" can't be named in a path`);
  return encodeURIComponent(text);
}
