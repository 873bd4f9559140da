// @ts-check
import { enableCompileCache, flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A node runs for months and may end by kill -9: its cache is written once its start, and that of others beside it, is over. */
const FLUSH_AFTER_MS = 10_000;

/**
 * Keeps compiled code (and, in a checkout, TypeScript with its types taken out) for the next start, which is then a third
 * faster and needs less memory. In a folder of the user's own: what lies there is executed.
 */
export function keepCompiledCode() {
  const cache = process.env.XDG_CACHE_HOME;
  enableCompileCache(join(cache?.startsWith('/') ? cache : join(homedir(), '.cache'), 'bootplane'));
  setTimeout(flushCompileCache, FLUSH_AFTER_MS).unref();
}
