import type { Clock } from '../../ports/clock.ts';
import type { ProcessHost, ProcessRef, RunningProcess } from '../../ports/process-host.ts';

/** How often a group is looked at while its last members end, milliseconds. */
const LOOK_MS = 50;
/** How long the kernel gets to end what was killed; only a process stuck in the kernel takes longer. */
const KILL_WAIT_MS = 5_000;

/**
 * Ends a process with its whole group: SIGTERM, then SIGKILL after `grace_ms`. Children of the
 * process have the same grace as the process itself. False when something is still there after
 * SIGKILL, so that the caller starts no second copy beside it.
 */
export async function stopProcess(host: ProcessHost, clock: Clock, ref: ProcessRef, grace_ms: number): Promise<boolean> {
  await trySignal(host, ref, 'SIGTERM');
  if (await isGoneWithin(host, clock, ref, grace_ms)) return true;
  await trySignal(host, ref, 'SIGKILL');
  return isGoneWithin(host, clock, ref, KILL_WAIT_MS);
}

/** Kills what a process that ended by itself has left in its group. */
export async function killRest(host: ProcessHost, clock: Clock, ref: ProcessRef): Promise<boolean> {
  await trySignal(host, ref, 'SIGKILL');
  return isGoneWithin(host, clock, ref, KILL_WAIT_MS);
}

/** A signal that can't be sent shows in the process that does not end. */
async function trySignal(host: ProcessHost, ref: ProcessRef, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  await host.signal(ref, signal).catch(() => undefined);
}

async function isGoneWithin(host: ProcessHost, clock: Clock, ref: ProcessRef, limit_ms: number): Promise<boolean> {
  const deadline = clock.monotonic() + limit_ms;
  const waiting = new AbortController();
  const over = () => waiting.abort();
  await Promise.race([host.exited(ref).then(over, over), clock.sleep(limit_ms, waiting.signal)]);
  for (;;) {
    const running = await host.list().catch(() => undefined);
    if (running?.some((one) => isOf(one, ref)) === false) return true;
    if (clock.monotonic() >= deadline) return false;
    await clock.sleep(LOOK_MS);
  }
}

/** A member of the group of `ref`: the process itself, or, when it is gone, a child that it left. */
function isOf({ ref: { pid, started }, orphaned }: RunningProcess, ref: ProcessRef): boolean {
  return pid === ref.pid && (orphaned || started === ref.started);
}
