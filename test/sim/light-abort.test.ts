import { describe, expect, it } from 'vitest';
import { LightAbortController, LightAbortSignal } from './light-abort.ts';

/** Those of Node, and those of simulated worlds. */
const SIDES = [
  ['real', { Controller: AbortController, Signal: AbortSignal }],
  [
    'simulated',
    { Controller: LightAbortController as unknown as typeof AbortController, Signal: LightAbortSignal as unknown as typeof AbortSignal },
  ],
] as const;

describe.each(SIDES)('a %s signal', (_name, { Controller, Signal }) => {
  it('tells each listener once, and not the one that was taken off meanwhile', () => {
    const controller = new Controller();
    const heard: string[] = [];
    const second = () => void heard.push('second');
    controller.signal.addEventListener('abort', ({ type }) => {
      heard.push(type);
      controller.signal.removeEventListener('abort', second);
    });
    controller.signal.addEventListener('abort', second);
    controller.abort();
    controller.abort();
    controller.signal.addEventListener('abort', second);
    expect(heard).toEqual(['abort']);
  });

  it('has the reason that was given, or an AbortError', () => {
    const [named, unnamed] = [new Controller(), new Controller()];
    expect(named.signal.reason).toBeUndefined();
    named.abort('enough');
    unnamed.abort();
    expect(named.signal.reason).toBe('enough');
    expect(unnamed.signal.reason).toMatchObject({ name: 'AbortError', message: 'This operation was aborted' });
    expect(unnamed.signal.reason).toBe(unnamed.signal.reason);
    expect(() => named.signal.throwIfAborted()).toThrow('enough');
  });

  it('follows the first of several that aborts, at once where one has', () => {
    const [one, other] = [new Controller(), new Controller()];
    const any = Signal.any([one.signal, other.signal]);
    const nested = Signal.any([any]);
    const heard: unknown[] = [];
    nested.addEventListener('abort', () => heard.push(nested.reason));
    expect(nested.aborted).toBe(false);
    other.abort('first');
    one.abort('second');
    expect(heard).toEqual(['first']);
    expect(Signal.any([new Controller().signal, one.signal]).reason).toBe('second');
  });

  it('of several that nobody listens to knows all the same', () => {
    const controller = new Controller();
    const any = Signal.any([controller.signal]);
    controller.abort('gone');
    expect([any.aborted, any.reason]).toEqual([true, 'gone']);
  });
});
