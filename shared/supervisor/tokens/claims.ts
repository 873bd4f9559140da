import * as z from 'zod';
import { Id } from '../../contract/ids.ts';
import type { FleetCaller } from '../auth.ts';

/** What a token says of its holder, checked. */
export interface Holder {
  readonly fleet: string;
  readonly scope: FleetCaller['scope'];
  /** Who it is, as the issuer names it; for the scope `node` the node_id. */
  readonly subject: string;
}

/** From the widest to the narrowest: of several in one token the first counts. */
const SCOPES = ['operator', 'viewer', 'node'] as const satisfies readonly FleetCaller['scope'][];

const Claims = z.object({
  fleet: z.string('must be there and name the fleet').pipe(Id),
  scope: z.string(`must be there and hold ${SCOPES.join(', ')} or several of them, with blanks between (RFC 8693, section 4.2)`).max(4096),
  sub: z.string('must be there and say whose the token is').min(1).max(256),
});

/** The holder, or in words what is wrong with the claims. They are of a token whose signature holds. */
export function readHolder(payload: unknown): Holder | string {
  const parsed = Claims.safeParse(payload);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return `its claim "${issue?.path.join('.')}" ${issue?.message ?? 'is not valid'}`;
  }
  const { fleet, sub } = parsed.data;
  const names = parsed.data.scope.split(' ');
  const scope = SCOPES.find((one) => names.includes(one));
  if (scope === undefined) return `its claim "scope" holds none of ${SCOPES.join(', ')}`;
  if (scope === 'node' && !Id.safeParse(sub).success) return 'its claim "sub" must be the node_id, since its scope is node';
  return { fleet, scope, subject: sub };
}
