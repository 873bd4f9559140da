/** One call that went through to a port. */
export interface Call {
  readonly method: string;
  readonly args: readonly unknown[];
}

/**
 * Decides what happens to a call: an error instead of it, no answer ever (`never`: it did not reach the port,
 * `lost`: it did and the answer got lost), or nothing.
 */
export type Fault = (call: Call, index: number) => undefined | Error | 'never' | 'lost';

/** A port that counts its calls and can be made to fail. Only the methods of `counted` are looked at. */
export function spyOn<Port extends object>(port: Port, counted: readonly (keyof Port & string)[], fault: Fault = () => undefined) {
  const calls: Call[] = [];
  const spied = Object.fromEntries(
    counted.map((method) => [
      method,
      (...args: unknown[]) => {
        const call = { method, args };
        const outcome = fault(call, calls.length);
        calls.push(call);
        if (outcome instanceof Error) return Promise.reject(outcome);
        const answer = outcome === 'never' ? undefined : (port[method] as (...all: unknown[]) => unknown)(...args);
        return outcome === undefined ? answer : new Promise(() => {});
      },
    ]),
  );
  return { port: { ...port, ...spied } as Port, calls };
}

export const STORAGE_WRITES = ['ensureBucket', 'ensureVersioning', 'ensureLifecycle', 'ensureTags', 'put', 'delete'] as const;
export const BUS_WRITES = [
  'ensureExchange',
  'ensureQueue',
  'ensureBinding',
  'ensureConfirms',
  'publish',
  'receive',
  'ack',
  'reject',
  'consume',
] as const;
export const VECTOR_WRITES = ['ensureClass', 'ensureProperties', 'upsert', 'delete'] as const;
