import { describe, expect, it } from 'vitest';
import { Timeline } from './timeline.ts';

const onward = () => true;

describe('simulated time', () => {
  it('moves from event to event in order, and those of one moment happen as they were asked for', async () => {
    const timeline = new Timeline();
    const seen: string[] = [];
    for (const [at, name] of [
      [20, 'c'],
      [10, 'a'],
      [10, 'b'],
      [30, 'd'],
    ] as const)
      timeline.after(at, () => seen.push(`${name} ${timeline.now}`));
    await timeline.run(25, onward);
    expect(seen).toEqual(['a 10', 'b 10', 'c 20']);
    expect(timeline.now).toBe(25);
  });

  it('stands while promises go on', async () => {
    const timeline = new Timeline();
    const seen: number[] = [];
    timeline.after(10, async () => {
      for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
      seen.push(timeline.now);
    });
    timeline.after(11, () => seen.push(timeline.now));
    await timeline.run(20, onward);
    expect(seen).toEqual([10, 11]);
  });

  it('passes by a machine that is suspended, which then finds all at once', async () => {
    const timeline = new Timeline();
    const seen: string[] = [];
    timeline.suspend('n1');
    timeline.after(10, () => seen.push(`n1 ${timeline.now}`), 'n1');
    timeline.after(15, () => seen.push(`n2 ${timeline.now}`), 'n2');
    timeline.after(30, () => timeline.resume('n1'));
    await timeline.run(40, onward);
    expect(seen).toEqual(['n2 15', 'n1 30']);
  });

  it('says so when something goes on without waiting', async () => {
    const timeline = new Timeline();
    const again = () => void timeline.after(0, again);
    again();
    await expect(timeline.run(1, onward)).rejects.toThrow('time stands still');
  });
});
