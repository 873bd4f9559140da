import { DESIRED_HEADER, EPOCH_HEADER, formatDesired } from '../contract/headers.ts';

/** What an answer's headers say of a site: its leader as a fencing token, and the published generations. */
export interface Current {
  readonly leader: string | null;
  readonly plan: number | null;
  readonly profile: number | null;
}

/** `Bootplane-Epoch` and `Bootplane-Desired`. The first is left out while nobody has led yet. */
export function currentHeaders({ leader, plan, profile }: Current): Record<string, string> {
  const headers: Record<string, string> = {
    [DESIRED_HEADER]: formatDesired({ plan: plan ?? undefined, profile: profile ?? undefined }),
  };
  if (leader !== null) headers[EPOCH_HEADER] = leader;
  return headers;
}
