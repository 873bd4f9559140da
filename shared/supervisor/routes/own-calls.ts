import { FORWARDED_HEADER } from '../../contract/forward.ts';
import { type Caller, nameOfCaller } from '../auth.ts';
import { ProblemError } from '../problem.ts';

/** For calls that are about the node that is asked: whoever passes one on has taken another node for it. */
export function refusePassedOn({ headers }: Request, detail: string): void {
  if (headers.has(FORWARDED_HEADER)) throw new ProblemError('misdirected', detail);
}

/** Who approved something: the credential's name and scope. */
export function describeCaller(caller: Caller): string {
  return `${nameOfCaller(caller)} (${caller.scope})`;
}
