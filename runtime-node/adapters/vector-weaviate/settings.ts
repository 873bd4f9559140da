import { X509Certificate } from 'node:crypto';
import { VectorError } from '../../../shared/ports/vector-index.ts';

/** The address of the REST API, with or without `/v1`. Throws `VectorError`. */
export function toBase(url: string): URL {
  const base = URL.canParse(url) ? new URL(url) : undefined;
  if (base === undefined || !['http:', 'https:'].includes(base.protocol)) {
    throw new VectorError('failed', 'WEAVIATE_URL must be an address such as http://weaviate.local:8080');
  }
  if (base.username !== '' || base.password !== '') {
    throw new VectorError('failed', 'WEAVIATE_URL must hold no credentials: give the key as WEAVIATE_API_KEY');
  }
  const path = base.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
  return new URL(`${base.origin}${path}`);
}

/** What could not even be sent must not look like a server that is away. Throws `VectorError`. */
export function checkCredentials({ api_key, ca }: { readonly api_key?: string; readonly ca?: string }): void {
  if (api_key !== undefined && !/^[\x21-\x7e]+$/.test(api_key)) {
    throw new VectorError('failed', 'WEAVIATE_API_KEY is empty or holds characters that no key has, such as a space or a line break');
  }
  try {
    if (ca !== undefined) new X509Certificate(ca);
  } catch (error) {
    throw new VectorError('failed', 'The certificate authority for Weaviate is no certificate in PEM form', { cause: error });
  }
}
