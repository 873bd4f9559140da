import type { Clock } from '../ports/clock.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { messageOf } from './json-file.ts';
import { stepDown } from './release.ts';
import type { Standing } from './standing.ts';
import type { Untold } from './types.ts';

/** Beside what the services' own grace adds up to, milliseconds. */
const SERVICES_MARGIN_MS = 15_000;
const HAND_OVER_LIMIT_MS = 2500;
const LEAVE_LIMIT_MS = 3000;
const REPORTS_LIMIT_MS = 1000;
const LOOPS_LIMIT_MS = 5000;

/** What is told to the loops of a node that stops. */
export interface Endings {
  /** Lead no more and look for nobody; the last reports still go out. */
  readonly resign: () => void;
  readonly end: () => void;
  /** Resolves when all loops have ended. */
  readonly ended: () => Promise<void>;
}

/**
 * An orderly end. The node hands over first, so that another leads at once: it releases its leases, which says
 * goodbye to those that follow it, and takes its advert back. Then services stop in reverse order, the last reports
 * go out, and the loops end. One that leaves for good (`leaves`) says so before its services stop, and then reports
 * nothing more, which would bring it back. Each part has a limit of its own, so that one that hangs does not keep
 * the others from their turn.
 */
export async function farewell(node: NodeContext, { resign, end, ended }: Endings, leaves: boolean): Promise<void> {
  const { clock, log, services } = node.deps;
  const bounded = async (what: string, limit_ms: number, act: () => Promise<unknown>) => {
    if (!(await settlesWithin(clock, limit_ms, act(), (error) => log.warn(`${what}: ${messageOf(error)}`)))) {
      log.warn(`${what} took longer than ${limit_ms} ms; it is not waited for`);
    }
  };
  const began = clock.monotonic();
  log.info('stop', { step: true, result: 'hands over and stops what runs; a second signal ends at once' });
  resign();
  await bounded('handing over', HAND_OVER_LIMIT_MS, () => handOver(node));
  if (leaves) {
    end();
    await bounded('leaving', LEAVE_LIMIT_MS, () => leave(node));
  }
  await bounded('stopping the services', servicesLimitMs(node), () => services.stop());
  if (!leaves) await sendLastReports(node);
  end();
  await bounded('ending the loops', LOOPS_LIMIT_MS, ended);
  node.standing.located = undefined;
  log.info('stopped', { step: true, result: 'what was applied stays', duration_ms: clock.monotonic() - began });
}

/** What was held is given back, also while the advert still waits for a network to be taken back on. */
async function handOver(node: NodeContext): Promise<void> {
  const { deps } = node;
  await Promise.all([
    stepDown(node, false),
    deps.lan?.advertise(undefined).catch((error: unknown) => deps.log.warn(`the goodbye on the LAN: ${messageOf(error)}`)),
  ]);
  node.changed();
}

/** Undefined where somebody is told. A copy tells nobody: it is the other one that would not be expected any more. */
export function whyUntold({ located, silent_until, twin }: Pick<Standing, 'located' | 'silent_until' | 'twin'>): Untold | undefined {
  if (silent_until !== undefined) return 'copy';
  if (located !== undefined) return undefined;
  return twin?.trouble === undefined ? 'alone' : 'copy';
}

/** Tells the control plane, and the cloud where a leader is seen there too, that this node is not expected any more. */
async function leave(node: NodeContext): Promise<void> {
  const { deps, standing } = node;
  const { config, identity, log, fetch } = deps;
  if (whyUntold(standing) === 'copy')
    return log.warn('nobody is told that this node leaves: another machine runs as it, and would be put out');
  const { located } = standing;
  const targets = new Map(located === undefined ? [] : [[located.url, located.fetch]]);
  if (config.cloud_url !== undefined && located?.source === 'self') targets.set(config.cloud_url, fetch);
  if (targets.size === 0) log.warn('no control plane was told that this node leaves: there it counts as lost after three TTLs');
  const { signal } = new AbortController();
  const tell = async ([url, reach]: [string, typeof fetch]) => {
    try {
      await connect({ ...node, signal }, { url, fetch: reach, timeout_ms: () => LEAVE_LIMIT_MS - 500 }).leave(identity.node_id);
      log.info('leave', { step: true, result: `left ${url}` });
    } catch (error) {
      log.warn(`${url} was not told that this node leaves: ${messageOf(error)}`, { url });
    }
  };
  await Promise.all([...targets].map(tell));
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
