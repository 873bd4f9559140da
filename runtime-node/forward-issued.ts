import type { KeyHolder } from '../shared/contract/forward.ts';
import { type AnyCall, readCall } from './forward-call.ts';
import { refusal } from './forward-errors.ts';

/**
 * Calls with issued keys that are under way at one time. Nobody here knows whether such a key is good, and each
 * call may hold a body in memory and wait for a leader: strangers must not take the place of callers who are known.
 */
const MOST_AT_ONCE = 50;

/** Brings a call with an issued key to who knows it. Throws `too_large` for a body that no control call has. */
export type BringIssued = (request: Request, holder: KeyHolder) => Promise<Response>;

export function createBringIssued(bring: (call: AnyCall) => Promise<Response>): BringIssued {
  let under_way = 0;
  return async (request, holder) => {
    if (under_way >= MOST_AT_ONCE) return refusal('unavailable', `${MOST_AT_ONCE} calls with issued keys are under way already`);
    under_way += 1;
    try {
      return await bring(await readCall(request, holder));
    } finally {
      under_way -= 1;
    }
  };
}
