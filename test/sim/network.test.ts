import { describe, expect, it } from 'vitest';
import { Network } from './network.ts';
import { randomOf } from './random.ts';
import { Timeline } from './timeline.ts';

function createNetwork() {
  const timeline = new Timeline();
  const network = new Network(timeline, randomOf(1, 'network'));
  const arrived: string[] = [];
  const send = (from: string, what: string) => network.segment(from, 'leader', () => arrived.push(what));
  return { network, arrived, send, pass: (ms: number) => timeline.run(timeline.now + ms, () => true) };
}

describe('the simulated network', () => {
  it('delivers what waited for a cut link, as a kernel sends again what its process left behind', async () => {
    const { network, arrived, send, pass } = createNetwork();
    network.cut('a', 'leader');
    send('a', 'of a');
    await pass(1000);
    expect(arrived).toEqual([]);
    network.mendAll();
    await pass(2000);
    expect(arrived).toEqual(['of a']);
  });

  it('never delivers what a machine that has lost its power would have sent again', async () => {
    const { network, arrived, send, pass } = createNetwork();
    network.cut('a', 'leader');
    network.cut('b', 'leader');
    send('a', 'of a');
    send('b', 'of b');
    await pass(1000);
    send('a', 'of a, not yet at the cut');
    network.losePower('a');
    await pass(1000);
    send('a', 'of a, after it was on again');
    network.mendAll();
    await pass(2000);
    expect(arrived.toSorted()).toEqual(['of a, after it was on again', 'of b']);
  });

  it('has what was on its way arrive, unless it was lost and had to be sent again', async () => {
    const { network, arrived, send, pass } = createNetwork();
    send('a', 'at once');
    network.lan.loss = 1;
    send('a', 'lost');
    network.losePower('a');
    await pass(20_000);
    expect(arrived).toEqual(['at once']);
  });
});
