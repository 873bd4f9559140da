import type { Backlog, Target } from '../../ports/backlog.ts';

/** What waits for externals of the component that are configured no more. */
export interface OtherExternals {
  list(): Promise<readonly { readonly identity: string; readonly waiting: number }[]>;
  /** What waits for that one, or conflicts with it, waits for the one of now. Resolves with how much that is. */
  move(identity: string): Promise<number>;
}

/** `moved`: what waits here has grown. */
export function otherExternals(backlog: Backlog, target: Target, moved: () => Promise<void>): OtherExternals {
  return {
    list: () => backlog.elsewhere(target),
    async move(identity) {
      const count = await backlog.readdress({ ...target, identity }, target);
      if (count > 0) await moved();
      return count;
    },
  };
}

/** Messages go to any broker. */
export const NO_OTHERS: OtherExternals = { list: async () => [], move: async () => 0 };
