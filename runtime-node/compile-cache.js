// @ts-check
import { enableCompileCache, flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

/** A node runs for months and may end by kill -9: its cache is written once its start, and that of others beside it, is over. */
const LOOK_EVERY_MS = 10_000;
/** Over is a start when the process was at work for less than this part of the time since the last look. */
const CALM = 0.4;
/** After so many looks it is written in any case: a busy node starts again some day too. */
const MOST_LOOKS = 6;

/**
 * Keeps compiled code (and, in a checkout, TypeScript with its types taken out) for the next start, which is then a third
 * faster and needs less memory. In a folder of the user's own: what lies there is executed.
 */
export function keepCompiledCode() {
  const cache = process.env.XDG_CACHE_HOME;
  enableCompileCache(join(cache?.startsWith('/') ? cache : join(homedir(), '.cache'), 'bootplane'));
  flushWhenCalm();
}

/** To write it takes a tenth of what the start takes, in one piece, in which the node answers nobody. */
function flushWhenCalm() {
  let looks = 0;
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    looks += 1;
    if (utilization >= CALM && looks < MOST_LOOKS) return;
    clearInterval(timer);
    flushCompileCache();
  }, LOOK_EVERY_MS);
  timer.unref();
}
