import { Client } from 'minio';
import { signV4 } from 'minio/dist/esm/signing.mjs';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Endpoint } from './endpoint.ts';

export interface Credentials {
  readonly access_key: string;
  readonly secret_key: string;
}

/** What is to be asked of the store. */
export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly bucket: string;
  readonly key?: string;
  /** A value of `''` gives the bare name, as in `?versioning`. */
  readonly query?: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The same, addressed and signed. */
export interface Signed {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Record<string, string>;
}

/**
 * The parts of the minio client that are used: where a bucket is addressed (path style, virtual hosts, AWS's hosts per
 * region), signature version 4, and presigned URLs. Its own calls are left aside: see docs/decisions.
 */
export class Signer extends Client {
  readonly #endpoint: Endpoint;
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  readonly #regionOf: (bucket: string) => string;

  constructor(
    endpoint: Endpoint,
    credentials: Credentials,
    options: { path_style: boolean; clock: Clock; regionOf(bucket: string): string },
  ) {
    super({
      endPoint: endpoint.host,
      port: endpoint.port,
      useSSL: endpoint.tls,
      accessKey: credentials.access_key,
      secretKey: credentials.secret_key,
      pathStyle: options.path_style,
    });
    this.#endpoint = endpoint;
    this.#credentials = credentials;
    this.#clock = options.clock;
    this.#regionOf = options.regionOf;
  }

  /** `sha256` is that of the body, lower-case hex: the store refuses a body that differs, over plain HTTP and TLS alike. */
  sign(ask: Ask, sha256: string): Signed {
    const region = this.#regionOf(ask.bucket);
    const { method, bucket: bucketName } = ask;
    const now = new Date(this.#clock.now());
    const headers = {
      ...ask.headers,
      'user-agent': 'bootplane',
      'x-amz-date': now.toISOString().replace(/[-:]|\.\d{3}/g, ''),
      'x-amz-content-sha256': sha256,
    };
    const query = queryText(ask.query);
    const request = this.getRequestOptions({
      method,
      bucketName,
      region,
      headers,
      ...(ask.key === undefined ? {} : { objectName: ask.key }),
      ...(query === '' ? {} : { query }),
    });
    request.headers.authorization = signV4(request, this.#credentials.access_key, this.#credentials.secret_key, region, now, sha256);
    return { host: request.host, port: this.#endpoint.port, path: request.path, headers: request.headers };
  }

  /** A URL by which anyone may read the object for `expires_s` seconds. */
  presignRead(bucket: string, key: string, expires_s: number): Promise<string> {
    return this.presignedUrl('GET', bucket, key, expires_s, {}, new Date(this.#clock.now()));
  }

  /** The client would ask the store; it is known here. */
  override async getBucketRegionAsync(bucket: string): Promise<string> {
    return this.#regionOf(bucket);
  }
}

function queryText(query: Ask['query'] = {}): string {
  const pairs = Object.entries(query).map(([name, value]) =>
    value === '' ? escapeQuery(name) : `${escapeQuery(name)}=${escapeQuery(value)}`,
  );
  return pairs.join('&');
}

/** RFC 3986: signature version 4 wants nothing but unreserved characters left as they are. */
function escapeQuery(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}
