import { sha256Hex } from '../../contract/canonical.ts';
import type { KeyHolder } from '../../contract/forward.ts';
import { Id } from '../../contract/ids.ts';
import { parseIssuedKey } from '../../contract/key.ts';

/** No key that was issued is longer. */
const LONGEST = 1024;

/** The credential of a request, whatever its kind; undefined for none. */
export function presentedCredential(headers: Headers): string | undefined {
  const authorization = headers.get('authorization');
  return (authorization === null ? headers.get('x-api-key') : /^bearer (.+)$/i.exec(authorization)?.[1]) ?? undefined;
}

/**
 * The issued key of `fleet` that a request presents as its credential, named by its hash; undefined for a credential of
 * another kind. Says nothing about whether it is good: only the Supervisor that keeps it knows that.
 */
export async function presentedKey({ headers }: Pick<Request, 'headers'>, fleet: string): Promise<KeyHolder | undefined> {
  const key = presentedCredential(headers);
  const name = key === undefined || key.length > LONGEST ? undefined : parseIssuedKey(key);
  if (key === undefined || name?.fleet !== fleet || !Id.safeParse(name.key_id).success) return undefined;
  return { scope: 'issued', key_id: name.key_id, key_sha256: await sha256Hex(key) };
}
