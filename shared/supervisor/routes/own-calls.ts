import { FORWARDED_HEADER } from '../../contract/forward.ts';
import { isLoopback } from '../../contract/loopback.ts';
import { type Caller, nameOfCaller } from '../auth.ts';
import type { Context } from '../context.ts';
import { ProblemError } from '../problem.ts';

/** For calls that are about the node that is asked: whoever passes one on has taken another node for it. */
export function refusePassedOn({ headers }: Request, detail: string): void {
  if (headers.has(FORWARDED_HEADER)) throw new ProblemError('misdirected', detail);
}

/** For calls that nobody on the way may read. Where a request comes from is known on a node; elsewhere its address says it. `why` goes on with "ask over https". */
export function refuseOpenWire({ options: { data } }: Context, request: Request, why: string): void {
  const isHere = data === undefined ? isLoopback(request.url) : data.isFromHere(request);
  if (isHere || new URL(request.url).protocol === 'https:') return;
  throw new ProblemError('https_required', `${why}: ask over https`);
}

/** Who approved something: the credential's name and scope. */
export function describeCaller(caller: Caller): string {
  return `${nameOfCaller(caller)} (${caller.scope})`;
}
