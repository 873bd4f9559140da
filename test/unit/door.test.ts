import { afterEach, describe, expect, it, vi } from 'vitest';
import { Door } from '../../runtime-node/door.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const machine = vi.hoisted(() => ({ address: '10.0.0.7', reads: 0 }));
vi.mock('node:os', async (load) => {
  const networkInterfaces = () => {
    machine.reads += 1;
    return { eth0: [{ address: machine.address, family: 'IPv4', internal: false }] };
  };
  return { ...(await load<typeof import('node:os')>()), networkInterfaces };
});

let door: Door | undefined;
afterEach(() => door?.close());

describe('the URL of a node that listens on every address', () => {
  it('follows the address of the machine, which is not read anew for each request', async () => {
    const clock = new SimulatedClock();
    door = await Door.open({ host: '0.0.0.0', port: 0 }, clock);
    const first = door.url;
    expect(new URL(first).hostname).toBe('10.0.0.7');
    const { reads } = machine;
    for (let request = 0; request < 10; request += 1) expect(door.origins).toContain(first);
    expect(machine.reads).toBe(reads);
    machine.address = '10.0.0.8';
    await clock.advance(1_000);
    expect(new URL(door.url).hostname).toBe('10.0.0.8');
  });
});
