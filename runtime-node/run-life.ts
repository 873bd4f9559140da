import type { RunningNode } from './commands/io.ts';
import type { NodeLife } from './node-life.ts';
import type { Undo } from './undo.ts';

/**
 * Lets a node live, and undoes its start when that ends, however it does. A node that ends without
 * having been asked to has failed: its exit code is 1, so that whoever watches over it starts it again.
 */
export function runLife(life: Pick<NodeLife, 'run' | 'stop' | 'leave'>, url: string, undo: Undo): RunningNode {
  const crash = new AbortController();
  let asked = false;
  const asking = (end: () => Promise<void>) => () => {
    asked = true;
    return end();
  };
  const stopped = life
    .run(crash.signal)
    .finally(() => undo.run())
    .then(() => (asked ? 0 : 1));
  return { url, stopped, stop: asking(() => life.stop()), leave: asking(() => life.leave()), kill: () => crash.abort() };
}
