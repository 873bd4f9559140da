import type { IncomingHttpHeaders } from 'node:http';

/** The store said no: its status and the code of its error document, or what stands in for one. */
export class S3Failure extends Error {
  /** Such as `NoSuchBucket`; for an answer without a document a name for its status (`NotFound`); `''` from what is no S3 server. */
  readonly code: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The region that the store says it is in. */
  readonly region: string | undefined;
  /** Where the store says that the bucket is. */
  readonly endpoint: string | undefined;
  /** The first characters of what came, from a server that sent no error document. */
  readonly sample: string | undefined;

  constructor(parts: {
    code: string;
    status: number;
    message: string;
    headers: IncomingHttpHeaders;
    region?: string | undefined;
    endpoint?: string | undefined;
    sample?: string | undefined;
  }) {
    super(parts.message);
    this.name = 'S3Failure';
    this.code = parts.code;
    this.status = parts.status;
    this.headers = parts.headers;
    this.region = parts.region;
    this.endpoint = parts.endpoint;
    this.sample = parts.sample;
  }
}

/** No answer, or not the whole of it, within the time. */
export class NoAnswer extends Error {
  readonly code = 'NO_ANSWER';
}

/** True for the store's error of one of these codes. */
export function isFailure(error: unknown, ...codes: readonly string[]): error is S3Failure {
  return error instanceof S3Failure && codes.includes(error.code);
}
