import * as z from 'zod';
import { Id } from '../../contract/ids.ts';
import { SUBJECT } from '../../contract/jwt.ts';
import type { FleetCaller } from '../auth.ts';

/** What a token says of its holder, checked. */
export interface Holder {
  /** Absent only for an admin of all fleets, who names one in each request. */
  readonly fleet: string | undefined;
  readonly scope: FleetCaller['scope'] | 'admin';
  /** Who it is, as the issuer names it; for the scope `node` the node_id. */
  readonly subject: string;
}

/** From the widest to the narrowest: of several in one token the first counts. */
const SCOPES = ['admin', 'operator', 'viewer', 'node'] as const satisfies readonly Holder['scope'][];

const Claims = z.object({
  fleet: z.string('must name the fleet').pipe(Id).optional(),
  scope: z.string(`must be there and hold ${SCOPES.join(', ')} or several of them, with blanks between (RFC 8693, section 4.2)`).max(4096),
  sub: z
    .string('must be there and say whose the token is')
    .regex(SUBJECT, 'must have 1 to 240 characters, none of them a control character'),
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
  if (scope === 'admin') return { fleet, scope, subject: sub };
  if (fleet === undefined) return 'its claim "fleet" must be there and name the fleet';
  if (scope === 'node' && !Id.safeParse(sub).success) return 'its claim "sub" must be the node_id, since its scope is node';
  return { fleet, scope, subject: sub };
}
