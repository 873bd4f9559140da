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
