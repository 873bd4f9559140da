/** Whether a process still runs. What a dead one began never comes back to it, and what it still tries does nothing. */
export interface Gate {
  readonly isAlive: () => boolean;
}

/** One for each that waits: a promise that all share would keep what waits for it, a whole dead world, for good. */
const never = () => new Promise<never>(() => undefined);

type Method = (...args: unknown[]) => unknown;

/** A port as one process sees it. `turn`, where given, is waited for before each call: a slow disk. */
export function gated<Port extends object>(port: Port, gate: Gate, turn?: () => Promise<void> | undefined): Port {
  const names = Object.keys(port) as (keyof Port)[];
  const entries = names.map((name) => [name, gateOne(port, name, gate, turn)]);
  return Object.fromEntries(entries) as Port;
}

function gateOne<Port extends object>(port: Port, name: keyof Port, gate: Gate, turn?: () => Promise<void> | undefined): unknown {
  const value = port[name];
  if (typeof value !== 'function') return value;
  const method = value.bind(port) as Method;
  const call = async (args: unknown[]) => {
    const wait = turn?.();
    if (wait !== undefined) await wait;
    const result = await method(...args);
    return gate.isAlive() ? result : never();
  };
  return (...args: unknown[]) => {
    if (!gate.isAlive()) return never();
    return call(args);
  };
}
