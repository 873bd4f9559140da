import type { Clock } from '../ports/clock.ts';
import type { NodeContext } from './context.ts';
import { messageOf } from './json-file.ts';
import { holds } from './lease.ts';
import { releaseLease } from './release.ts';

/** Beside what the services' own grace adds up to, milliseconds. */
const SERVICES_MARGIN_MS = 15_000;
const REPORTS_LIMIT_MS = 1000;
const LOOPS_LIMIT_MS = 5000;
const GOODBYE_LIMIT_MS = 1000;

/**
 * An orderly end: services stop in reverse order while the lease is still held, the last reports go
 * out, the loops end, the lease is released, and the node says goodbye on its LAN. Each part has a
 * limit of its own, so that one that hangs does not keep the others from their turn.
 */
export async function farewell(node: NodeContext, ending: AbortController, loopsEnd: () => Promise<void>): Promise<void> {
  const { clock, log, services, lan } = node.deps;
  const bounded = async (what: string, limit_ms: number, act: () => Promise<unknown>) => {
    if (!(await settlesWithin(clock, limit_ms, act(), (error) => log.warn(`${what}: ${messageOf(error)}`)))) {
      log.warn(`${what} took longer than ${limit_ms} ms; it is not waited for`);
    }
  };
  const began = clock.monotonic();
  log.info('stop', { step: true, result: 'stops what runs; a second signal ends at once' });
  await bounded('stopping the services', servicesLimitMs(node), () => services.stop());
  await sendLastReports(node);
  const { located } = node.standing;
  ending.abort();
  await bounded('ending the loops', LOOPS_LIMIT_MS, loopsEnd);
  if (located?.lease !== undefined && holds(located.lease, clock)) await releaseLease(node, located, new AbortController().signal);
  node.standing.located = undefined;
  if (lan !== undefined) await bounded('the goodbye on the LAN', GOODBYE_LIMIT_MS, () => lan.advertise(undefined));
  log.info('stopped', { step: true, result: 'what was applied stays', duration_ms: clock.monotonic() - began });
}

function servicesLimitMs({ documents }: NodeContext): number {
  const graces = documents.plan?.held.body.services.map(({ stop_grace_seconds }) => stop_grace_seconds * 1000) ?? [];
  return SERVICES_MARGIN_MS + graces.reduce((sum, grace) => sum + grace, 0);
}

/** The report loop still runs; this only gives it a moment. */
async function sendLastReports({ deps: { clock, reports }, standing }: NodeContext): Promise<void> {
  const until = clock.monotonic() + REPORTS_LIMIT_MS;
  while (standing.located !== undefined && reports.size > 0 && clock.monotonic() < until) await clock.sleep(50);
}

async function settlesWithin(clock: Clock, limit_ms: number, act: Promise<unknown>, onError: (error: unknown) => void): Promise<boolean> {
  const over = new AbortController();
  const ended = act.then(
    () => true,
    (error) => {
      onError(error);
      return true;
    },
  );
  const late = clock.sleep(limit_ms, over.signal).then(() => false);
  const result = await Promise.race([ended, late]);
  over.abort();
  return result;
}
