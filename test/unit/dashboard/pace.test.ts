import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { repeat } from '../../../shared/dashboard/public/pace.js';

/** A page that somebody can see, or not. */
class Page extends EventTarget {
  visibilityState = 'visible';
  turn(to: 'visible' | 'hidden'): void {
    this.visibilityState = to;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

let page: Page;
let looks: number;
const look = async () => {
  looks += 1;
  return 5000;
};

beforeEach(() => {
  vi.useFakeTimers();
  [page, looks] = [new Page(), 0];
  vi.stubGlobal('document', page);
  vi.stubGlobal('window', globalThis);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('looks at once, and again when it is time', async () => {
  const { end } = repeat(look);
  await vi.advanceTimersByTimeAsync(4999);
  expect(looks).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(looks).toBe(2);
  end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks).toBe(2);
});

it('asks nothing while nobody can see the page, and then what came due', async () => {
  repeat(look);
  await vi.advanceTimersByTimeAsync(1000);
  page.turn('hidden');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(looks).toBe(1);
  page.turn('visible');
  await vi.advanceTimersByTimeAsync(0);
  expect(looks).toBe(2);
});

it('asks no sooner because somebody turns to the page again and again', async () => {
  repeat(look);
  await vi.advanceTimersByTimeAsync(0);
  for (let turn = 0; turn < 20; turn += 1) {
    page.turn('hidden');
    page.turn('visible');
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(looks).toBe(1);
  await vi.advanceTimersByTimeAsync(5000);
  expect(looks).toBe(2);
});

it('looks now when it is told to, and waits from then on', async () => {
  const { now } = repeat(look);
  await vi.advanceTimersByTimeAsync(3000);
  now();
  await vi.advanceTimersByTimeAsync(4999);
  expect(looks).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(looks).toBe(3);
});

it('tells a look that a later one was begun, or that it has ended, and goes on as the latest says', async () => {
  const begun: (() => boolean)[] = [];
  const { now, end } = repeat((isOver) => {
    begun.push(isOver);
    return new Promise((resolve) => setTimeout(() => resolve(begun.length * 1000), 100));
  });
  now();
  const [first, second] = begun;
  expect([first?.(), second?.()]).toEqual([true, false]);
  await vi.advanceTimersByTimeAsync(100);
  await vi.advanceTimersByTimeAsync(1999);
  expect(begun).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toHaveLength(3);
  end();
  expect(begun.map((isOver) => isOver())).toEqual([true, true, true]);
});
