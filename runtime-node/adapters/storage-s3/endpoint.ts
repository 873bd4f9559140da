import { StorageError } from '../../../shared/ports/object-storage.ts';

/** Where the store listens, taken apart. */
export interface Endpoint {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** `https://s3.example:9000`: what people are shown; never has credentials in it. */
  readonly origin: string;
  /** AWS itself: its hosts differ by region, and buckets are part of the host. */
  readonly amazon: boolean;
}

/** Takes `https://host[:port]`. What can't be meant (a path, credentials, another scheme) is refused by name. */
export function parseEndpoint(text: string): Endpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const form = 'MINIO_ENDPOINT is a URL such as https://s3.example:9000';
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const hint = /^[\w.-]+(:\d+)?$/.test(text) ? `; it needs http:// or https:// in front of ${text}` : '';
    throw new StorageError('failed', `the endpoint of the object storage can't be read: ${form}${hint}`);
  }
  if (url.username !== '' || url.password !== '')
    throw new StorageError('failed', `${form}, without user and password: use MINIO_ACCESS_KEY and MINIO_SECRET_KEY`);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new StorageError(
      'failed',
      `${form}: take ${url.pathname}${url.search === '' ? '' : '?…'} off (buckets are named in the profile)`,
    );
  const tls = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const amazon = /(^|\.)amazonaws\.com(\.cn)?$/.test(host);
  return { tls, host, port: url.port === '' ? (tls ? 443 : 80) : Number(url.port), origin: url.origin, amazon };
}
