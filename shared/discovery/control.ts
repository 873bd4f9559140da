import { backoffMs } from '../decide/backoff.ts';
import { heartbeatIntervalMs } from '../decide/ttl.ts';
import type { NodeContext } from './context.ts';
import { locate } from './locate.ts';
import { describe, type Located } from './located.ts';
import { releaseLease } from './release.ts';
import { runSession } from './session.ts';
import type { Session } from './session-state.ts';
import type { LocateReason } from './trace.ts';
import { createWaker } from './waker.ts';

const RETRY_BASE_MS = 500;

export interface Control {
  /** Locates, follows, and locates again, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Looks at once for what is new. */
  poke(): void;
  /** Says at once how the node stands. */
  heartbeat(): void;
}

export function createControl(node: NodeContext): Control {
  const { deps, standing } = node;
  const waker = createWaker(deps.clock);
  let session: Session | undefined;
  const onOpen = (opened: Session) => {
    session = opened;
  };
  const pause = (failures: number, signal: AbortSignal) => {
    const cap_ms = standing.ttl_seconds() * 1000;
    return waker.wait(signal, backoffMs({ base_ms: RETRY_BASE_MS, cap_ms }, failures, deps.random.next()));
  };
  return {
    async run(signal) {
      let next: Located | undefined;
      let reason: LocateReason = 'boot';
      for (let failures = 0; !signal.aborted; ) {
        if (failures > (next === undefined ? 0 : 1)) await pause(failures, signal);
        if (signal.aborted) return;
        const located = next ?? (await locate({ ...node, signal }, node.traces, reason));
        next = undefined;
        if (signal.aborted) return;
        if (located === undefined) {
          failures += 1;
          loseControlPlane(node);
          continue;
        }
        follow(node, located);
        const began = deps.clock.monotonic();
        const result = await runSession(node, located, signal, onOpen);
        if (signal.aborted) return;
        reason = 'lost';
        next = result.next;
        const isShort = deps.clock.monotonic() - began < heartbeatIntervalMs(standing.ttl_seconds());
        failures = isShort || !result.isProven ? failures + 1 : 0;
        deps.log.info(next === undefined ? `looks for a control plane again: ${result.why}` : result.why);
        if (next !== undefined && next.url !== located.url) void releaseLease(node, located, signal);
      }
    },
    poke() {
      waker.wake();
      session?.polls.wake();
    },
    heartbeat: () => session?.heartbeats.wake(),
  };
}

function follow({ deps, standing, traces, changed }: NodeContext, located: Located): void {
  const { lease, leader } = located;
  standing.located = located;
  standing.isFromCache = false;
  standing.token = undefined;
  standing.waits.clear();
  const cloud = traces.last?.steps.find(({ step }) => step === 'cloud');
  if (located.provisional && cloud !== undefined) standing.waits.set('locate', `the cloud to confirm this leader (${cloud.detail})`);
  const duration_ms = traces.last?.duration_ms ?? 0;
  deps.log.info('locate', { step: true, result: located.source === 'self' ? 'no other control plane' : located.url, duration_ms });
  deps.log.info('elect', { step: true, result: describe(located), epoch: lease?.epoch ?? leader?.epoch, duration_ms: 0 });
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
