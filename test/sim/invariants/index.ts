import { coverage } from '../coverage.ts';
import type { Published } from '../published.ts';
import type { World } from '../world.ts';
import { nothingCrashesANode } from './crashes.ts';
import { credentialsToProved } from './credentials.ts';
import { appliesUpwards, nothingDestroyed } from './documents.ts';
import { Broken, type InvariantName, type Judge } from './invariant.ts';
import { followsUpwards, noStaleWrite, oneConfirmedLeader } from './leadership.ts';
import { servicesInvariants } from './services.ts';

/** Watches a world until the first invariant is broken, which ends its run. */
export interface Verdict extends Judge {
  readonly firstBroken: Broken | undefined;
  readonly counts: Readonly<Record<string, number>>;
}

export function judged(world: World, published: Published): Verdict {
  let firstBroken: Broken | undefined;
  const counts: Record<string, number> = {};
  const verdict: Verdict = {
    world,
    get firstBroken() {
      return firstBroken;
    },
    counts,
    broken(invariant: InvariantName, message: string) {
      firstBroken ??= new Broken(invariant, message);
      world.say('judge', `BROKEN ${firstBroken.message}`);
      world.halt();
    },
    count(what: string) {
      counts[what] = (counts[what] ?? 0) + 1;
    },
  };
  const all = [
    oneConfirmedLeader,
    followsUpwards,
    noStaleWrite,
    appliesUpwards,
    nothingDestroyed,
    credentialsToProved,
    servicesInvariants(published),
    nothingCrashesANode,
    coverage,
  ];
  for (const invariant of all) world.watchers.push(invariant(verdict));
  return verdict;
}
