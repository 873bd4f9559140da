import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../../runtime-node/thrown.ts';

function thrownBy(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

describe('what was thrown', () => {
  it('has the code of the system', () => {
    expect(codeOf(thrownBy(() => statSync('no/such/file')))).toBe('ENOENT');
  });

  it.each([new Error('plain'), Object.assign(new Error('numbered'), { code: 20 }), { code: 'ENOENT' }, 'text', undefined])(
    'has the empty code where there is none: %s',
    (error) => expect(codeOf(error)).toBe(''),
  );

  it('is told by its message, whatever it is', () => {
    expect([new Error('plain'), 'text', undefined, 7].map(messageOf)).toEqual(['plain', 'text', 'undefined', '7']);
  });
});
