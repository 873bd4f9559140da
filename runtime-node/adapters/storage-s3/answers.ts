import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { S3Failure } from './failure.ts';
import type { Wire } from './wire.ts';
import { parseXml, textOf, type XmlElement, XmlError } from './xml.ts';

/** What stands in for the code of an answer without a document, as those to HEAD are. */
const CODES: Readonly<Record<number, string>> = {
  301: 'PermanentRedirect',
  304: 'NotModified',
  307: 'TemporaryRedirect',
  400: 'BadRequest',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'OperationAborted',
  411: 'MissingContentLength',
  412: 'PreconditionFailed',
  416: 'InvalidRange',
  429: 'SlowDown',
  500: 'InternalError',
  501: 'NotImplemented',
  503: 'ServiceUnavailable',
  507: 'InsufficientStorage',
};

/** Reads an answer that is not 2xx. */
export async function failureOf(wire: Wire, answer: IncomingMessage): Promise<S3Failure> {
  // A server that refuses a body in the middle may close before its words are through: the status says enough.
  const text = await wire.text(answer).catch(() => '');
  return toFailure(answer.statusCode ?? 0, answer.headers, text);
}

/** The failure that an error document describes, whatever the status: some come with 200. */
export function toFailure(status: number, headers: IncomingHttpHeaders, text: string): S3Failure {
  const root = documentOf(text);
  if (root?.name === 'Error') {
    const region = textOf(root, 'Region') || header(headers, 'x-amz-bucket-region');
    const parts = { code: textOf(root, 'Code') ?? '', message: textOf(root, 'Message') ?? '', endpoint: textOf(root, 'Endpoint') };
    return new S3Failure({ ...parts, status, headers, region });
  }
  const region = header(headers, 'x-amz-bucket-region');
  if (text === '' || header(headers, 'x-amz-request-id') !== undefined) {
    const code = header(headers, 'x-minio-error-code') ?? CODES[status] ?? `HTTP ${status}`;
    return new S3Failure({ code, status, headers, message: `HTTP status ${status}`, region });
  }
  return stranger(status, headers, text);
}

/** What answered speaks HTTP and is no S3 server. */
export function stranger(status: number, headers: IncomingHttpHeaders, text: string): S3Failure {
  return new S3Failure({ code: '', status, headers, message: `HTTP status ${status}`, sample: text.slice(0, 400) });
}

/** The document of a good answer, whose root must be `name`. */
export async function readDocument(
  wire: Wire,
  answer: IncomingMessage,
  ...names: readonly string[]
): Promise<{ text: string; root: XmlElement }> {
  const text = await wire.text(answer);
  const root = documentOf(text);
  if (root !== undefined && names.includes(root.name)) return { text, root };
  const { statusCode = 0, headers } = answer;
  throw root?.name === 'Error' ? toFailure(statusCode, headers, text) : stranger(statusCode, headers, text);
}

function documentOf(text: string): XmlElement | undefined {
  try {
    return parseXml(text);
  } catch (error) {
    if (error instanceof XmlError) return undefined;
    throw error;
  }
}

/** A header's one value; undefined for an empty one. */
export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  const one = Array.isArray(value) ? value[0] : value;
  return one === undefined || one === '' ? undefined : one;
}
