import { isKeyHolder } from '../contract/fleet-keys.ts';
import { BEHIND_HOLDERS_MS, beforeAtBoot, beforeInSuccession, bootWaitMs, cloudWaitMs, takeoverWaitMs } from '../decide/election.ts';
import type { Candidate } from './candidate.ts';
import { foremost, lookLast } from './last-look.ts';
import type { Takeover } from './located.ts';
import type { StepContext, StepResult } from './round.ts';
import { createWaker } from './waker.ts';

/** When this node may elect itself, and whom it asks just before. */
export interface Turn {
  readonly wait_ms: number;
  readonly before: readonly Candidate[];
  /** For the answer to the last look, milliseconds. */
  readonly timeout_ms: number;
  /** How often those that are asked last are, as long as nothing comes of them, not even a refusal. */
  readonly looks: number;
}

const BOOT_LOOK_MS = 500;
/** Whoever was heard at boot is there, and may lead by now: where it is only busy, a second leader would make it busier. */
const BOOT_LOOKS = 3;
/** Of those before this node at boot the first are asked: the others would have followed one of them. */
const ASKED_LAST = 3;
const TAKEOVER_LOOK_MS = 150;
/** A leader below what this node has seen gets this long, milliseconds, to go above it: the challenge has told it. */
const LOWER_LEADER_MS = 1000;

export function turnOf(context: StepContext): Turn {
  return context.takeover === undefined ? turnAtBoot(context) : turnInSuccession(context, context.takeover);
}

function turnAtBoot({ deps, round }: StepContext): Turn {
  const proved = [...round.proved.values()];
  const before = beforeHere({ deps, round });
  const behind_ms = isKeyHolder(deps.fleetKeys) ? 0 : BEHIND_HOLDERS_MS;
  const isLed = proved.some(({ leads }) => leads !== undefined);
  const asked = [...proved.filter(({ leads }) => leads !== undefined), ...before.slice(0, ASKED_LAST)];
  return {
    wait_ms: Math.max(isLed ? LOWER_LEADER_MS : 0, bootWaitMs(before.length, deps.random.next()) + behind_ms),
    before: asked.map(({ url, node_id }) => ({ url, node_id, via: 'peer' })),
    timeout_ms: BOOT_LOOK_MS,
    looks: BOOT_LOOKS,
  };
}

/** Who was only heard counts as one who may lead: the wait is bounded, and asking all of a large site costs more. */
function beforeHere({ deps, round }: Pick<StepContext, 'deps' | 'round'>) {
  const heard = [...round.heard.values()].flatMap(({ node_id, url }) =>
    node_id === undefined || round.proved.has(node_id) ? [] : [{ node_id, url, eligible: true, leads: undefined }],
  );
  return beforeAtBoot(deps.identity.node_id, [...round.proved.values(), ...heard]);
}

/**
 * Waits for this node's turn to ask the cloud, when it has no control plane and nobody to take over from; the leader that it found on the LAN meanwhile, if
 * one was. So one of a site asks first, and after a power cut neither all nodes of a site nor all sites ask at once.
 */
export async function waitForCloudTurn(context: StepContext): Promise<StepResult | undefined> {
  const { deps, current, takeover, signal } = context;
  if (current !== undefined || takeover !== undefined) return undefined;
  const until = deps.clock.monotonic() + cloudWaitMs(beforeHere(context).length, deps.random.next());
  while (!signal.aborted) {
    const heard = await waitForTurn(context, until);
    if (heard.length === 0) return undefined;
    const last = await lookLast(context, foremost(heard), BOOT_LOOK_MS);
    if ('outcome' in last) return last;
  }
  return undefined;
}

/** The one that is gone is asked too: when it stepped down it says whom it follows, and a dead one refuses at once. */
function turnInSuccession({ deps }: StepContext, { gone, gone_url, successors }: Takeover): Turn {
  const { node_id } = deps.identity;
  const before = beforeInSuccession(node_id, gone, successors);
  const isSuccessor = successors.some((one) => one.node_id === node_id);
  const asked = gone_url === undefined ? before : [{ node_id: gone, url: gone_url }, ...before];
  return {
    wait_ms: takeoverWaitMs(before.length, isSuccessor, deps.random.next()),
    before: asked.map((one) => ({ ...one, via: 'peer' })),
    timeout_ms: TAKEOVER_LOOK_MS,
    looks: 1,
  };
}

/**
 * Resolves when the turn has come, or earlier with those whose adverts tell that somebody may lead
 * already: the one elected first advertises a new epoch at once.
 */
export async function waitForTurn({ deps, adverts, epochs, signal }: StepContext, until: number): Promise<Candidate[]> {
  const news = createWaker(deps.clock);
  const unsubscribe = adverts.onNews(news.wake);
  try {
    for (;;) {
      const heard = adverts.take().filter(({ epoch = 0 }) => epoch > 0 && epoch >= epochs.highest);
      const left = until - deps.clock.monotonic();
      if (heard.length > 0 || left <= 0 || signal.aborted) return heard;
      await news.wait(signal, left);
    }
  } finally {
    unsubscribe();
  }
}
