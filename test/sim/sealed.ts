/**
 * Takes the machine's own time and randomness away from what runs in this process, so that nothing in a
 * simulated world can use them by mistake: it throws instead, and names what was called.
 */
export function seal(): void {
  const forbid = (owner: object, name: string) => {
    const message = `${name} was called inside a simulated world: time, waiting and randomness come through the ports`;
    const value = () => {
      throw new Error(message);
    };
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  };
  for (const name of ['setTimeout', 'setInterval', 'setImmediate']) forbid(globalThis, name);
  forbid(Date, 'now');
  forbid(Math, 'random');
  forbid(AbortSignal, 'timeout');
  for (const name of ['getRandomValues', 'randomUUID']) forbid(crypto, name);
}
