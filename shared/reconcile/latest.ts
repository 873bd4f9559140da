/**
 * Runs one at a time. While one is under way only the newest of those that wait is kept: the callers
 * of a superseded one get the result of what superseded it.
 */
export function latestOnly<In, Out>(run: (input: In) => Promise<Out>): (input: In) => Promise<Out> {
  let current: Promise<unknown> | undefined;
  let waiting: { input: In; readonly result: Promise<Out> } | undefined;

  async function afterCurrent(): Promise<Out> {
    await current?.catch(() => {});
    return start();
  }

  function start(): Promise<Out> {
    const next = waiting;
    waiting = undefined;
    if (next === undefined) throw new Error('nothing waits to be run');
    return begin(next.input);
  }

  function begin(input: In): Promise<Out> {
    const started = run(input).finally(() => {
      if (current === started) current = undefined;
    });
    current = started;
    return started;
  }

  return (input) => {
    if (current === undefined && waiting === undefined) return begin(input);
    if (waiting === undefined) waiting = { input, result: afterCurrent() };
    else waiting.input = input;
    return waiting.result;
  };
}
