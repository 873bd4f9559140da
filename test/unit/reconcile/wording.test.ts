import { describe, expect, test } from 'vitest';
import { BootstrapEvent } from '../../../shared/contract/event.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import type { ActionView } from '../../../shared/reconcile/types.ts';
import { actionName, clipMessage, describeError, listed, skippedSentence, toIncompatible } from '../../../shared/reconcile/wording.ts';

const view = (subject: string, detail?: string): ActionView => ({
  kind: 'ensure-binding',
  safety: 'incompatible',
  subject,
  ...(detail === undefined ? {} : { detail }),
});

describe('wording', () => {
  test('an error says its kind, and never nothing', () => {
    expect(describeError(new StorageError('full', 'the disk is full'))).toBe('the disk is full (full)');
    expect(describeError(new Error(''))).toBe('failed without a message');
    expect(describeError('odd')).toBe('odd');
  });

  test('two long subjects that begin alike have different names within the limit of an event', () => {
    const [one, other] = ['a', 'b'].map((end) => actionName(view(`binding ${'x'.repeat(600)}${end}`)));
    expect(one).not.toBe(other);
    for (const action of [one, other]) expect(BootstrapEvent.shape.action.safeParse(action).success).toBe(true);
    expect(actionName(view('queue frames'))).toBe('ensure-binding queue frames');
  });

  test('long lists and messages end with what was left out', () => {
    const items = Array.from({ length: 23 }, (_, index) => `item ${index}`);
    expect(listed(items)).toMatch(/^item 0; .*item 19; and 3 more$/);
    expect(listed(['one', 'two'])).toBe('one; two');
    expect(BootstrapEvent.shape.message.safeParse(clipMessage('x'.repeat(10_000))).success).toBe(true);
    expect(clipMessage('short')).toBe('short');
  });

  test('what was skipped fits the limits of a status', () => {
    const views = Array.from({ length: 1500 }, (_, index) => view(`queue ${index}${'q'.repeat(2000)}`, 'd'.repeat(2000)));
    expect(BootstrapEvent.shape.incompatible.safeParse(toIncompatible(views)).success).toBe(true);
    expect(toIncompatible([view('queue a')])).toEqual([{ subject: 'queue a', detail: 'incompatible' }]);
    expect(skippedSentence([])).toBeUndefined();
    expect(skippedSentence([view('queue a', 'why'), view('queue b', 'how')])).toBe('2 skipped: queue a: why; queue b: how');
  });
});
