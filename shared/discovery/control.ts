import { linkedAbort } from '../abort.ts';
import type { DesiredGenerations, DocumentKind } from '../contract/document.ts';
import { backoffMs } from '../decide/backoff.ts';
import { heartbeatIntervalMs } from '../decide/ttl.ts';
import { tellOfCloud } from './cloud-trouble.ts';
import type { NodeContext } from './context.ts';
import type { Held } from './documents.ts';
import { locate } from './locate.ts';
import { describe, type Located, type Takeover } from './located.ts';
import { stepDown } from './release.ts';
import { runSession } from './session.ts';
import type { Session } from './session-state.ts';
import type { LocateReason } from './trace.ts';
import { createWaker } from './waker.ts';

const RETRY_BASE_MS = 500;
/** A node without a control plane looks for one at least this often, milliseconds, however long the TTL of the last one was. */
const LONGEST_PAUSE_MS = 60_000;

export interface Control {
  /** Locates, follows, and locates again, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Looks at once for what is new. `published`: what is current at the cloud now, as far as is known. */
  poke(published?: DesiredGenerations): void;
  /** Somebody knows of these generations: where they are above what is held here, the cloud is asked at once. */
  heedDesired(desired: DesiredGenerations): void;
  /** Says at once how the node stands. */
  heartbeat(): void;
  /** Looks at once for another control plane. */
  look(): void;
  /** The node stops: it renews, claims and looks for nothing any more. What has to be reported still goes out. */
  resign(): void;
}

export function createControl(node: NodeContext): Control {
  const { deps, standing } = node;
  const waker = createWaker(deps.clock);
  const resigning = new AbortController();
  let session: Session | undefined;
  let look_again_at = 0;
  let heeded = '';
  node.adverts.onNews(() => {
    waker.wake();
    session?.looks.wake();
  });
  const onOpen = (opened: Session) => {
    session = opened;
    // Heard while this node was about to lead or to follow, when no session could be woken: two that claim at once would
    // both lead until the next look.
    if (node.adverts.hasNews()) opened.looks.wake();
  };
  const pause = (failures: number, signal: AbortSignal) => {
    const cap_ms = Math.min(standing.ttl_seconds() * 1000, LONGEST_PAUSE_MS);
    return waker.wait(signal, backoffMs({ base_ms: RETRY_BASE_MS, cap_ms }, failures, deps.random.next()));
  };
  return {
    async run(signal) {
      const work = linkedAbort(signal);
      resigning.signal.addEventListener('abort', work.abort, { once: true });
      if (resigning.signal.aborted) work.abort();
      const active = work.signal;
      let next: Located | undefined;
      let takeover: Takeover | undefined;
      let reason: LocateReason = 'boot';
      for (let failures = 0; !active.aborted; ) {
        if (failures > (next === undefined ? 0 : 1)) await pause(failures, active);
        if (active.aborted) break;
        const located =
          next ?? (await locate({ ...node, signal: active, ...(takeover === undefined ? {} : { takeover }) }, node.traces, reason));
        next = undefined;
        takeover = undefined;
        if (active.aborted) {
          // Granted while the node was about to stop: nobody would renew it.
          if (!signal.aborted) await stepDown(node, false);
          break;
        }
        if (located === undefined) {
          failures += 1;
          reason = 'lost';
          loseControlPlane(node);
          continue;
        }
        follow(node, located);
        const began = deps.clock.monotonic();
        const result = await runSession(node, located, { signal, active }, onOpen);
        if (active.aborted) break;
        ({ next, takeover } = result);
        reason = takeover === undefined ? 'lost' : 'takeover';
        const isShort = deps.clock.monotonic() - began < heartbeatIntervalMs(standing.ttl_seconds());
        failures = result.isProven && (!isShort || takeover !== undefined) ? 0 : failures + 1;
        deps.log.info(next === undefined ? `looks for a control plane again: ${result.why}` : result.why);
        // Where this node leads from now on, what it holds is that of its new lease.
        if (next?.lease === undefined && next?.url !== located.url) void stepDown(node, true);
      }
      work.dispose();
    },
    poke(published) {
      standing.heard = { ...standing.heard, ...published };
      waker.wake();
      session?.polls.wake();
      session?.syncs.wake();
    },
    heedDesired(desired) {
      if (session?.located.cloud_lease === undefined) return;
      const { plan, profile } = node.documents;
      const isNews = isAbove(desired.plan, plan?.held) || isAbove(desired.profile, profile);
      const told = JSON.stringify(desired);
      // A node that tells of something that is nowhere costs the cloud one question.
      if (isNews && told !== heeded) session.syncs.wake();
      heeded = told;
    },
    heartbeat: () => session?.heartbeats.wake(),
    look() {
      const now = deps.clock.monotonic();
      if (now < look_again_at) return;
      look_again_at = now + heartbeatIntervalMs(standing.ttl_seconds());
      session?.looks.wake();
    },
    resign: () => resigning.abort(),
  };
}

function isAbove(generation: number | undefined, held: Held<DocumentKind> | undefined): boolean {
  return generation !== undefined && generation > (held?.document.meta.generation ?? -1);
}

function follow({ deps, standing, traces, changed }: NodeContext, located: Located): void {
  const { lease, leader } = located;
  standing.located = located;
  standing.isFromCache = false;
  standing.token = undefined;
  const before = standing.waits.get('locate');
  standing.waits.clear();
  const duration_ms = traces.last?.duration_ms ?? 0;
  deps.log.info('locate', { step: true, result: located.source === 'self' ? 'no other control plane' : located.url, duration_ms });
  deps.log.info('elect', { step: true, result: describe(located), epoch: lease?.epoch ?? leader?.epoch, duration_ms: 0 });
  tellOfCloud({ deps, standing, traces }, before);
  changed();
}

/** Nothing was found: what is cached goes on, and the log says once what was tried. */
function loseControlPlane({ deps, standing, traces, applyHeld, changed }: NodeContext): void {
  standing.located = undefined;
  standing.isFromCache = true;
  const tried = traces.last?.steps.map(({ step, detail }) => `${step}: ${detail}`).join('; ') ?? '';
  const message = `no control plane was found (${tried})`;
  if (standing.waits.get('locate') !== message) deps.log.warn(`${message}; what is cached runs on, and the search goes on`);
  standing.waits.set('locate', message);
  applyHeld();
  changed();
}
