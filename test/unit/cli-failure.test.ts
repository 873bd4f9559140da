import { describe, expect, it } from 'vitest';
import { CommandError, EXIT_CODE_HELP, EXIT_CODES } from '../../runtime-node/commands/errors.ts';
import { toCommandError } from '../../runtime-node/commands/failure.ts';
import { ConfigError } from '../../runtime-node/config.ts';
import { TlsError } from '../../runtime-node/tls.ts';
import { ApiError, UnreachableError } from '../../shared/client.ts';
import { PROBLEMS, type ProblemCode, problem } from '../../shared/contract/problem.ts';
import { DatabaseError } from '../../shared/ports/database.ts';

describe('what a command threw', () => {
  it.each([
    ['a failure of its own', new CommandError('usage', 'wrong'), 'usage', 64],
    ['a setting', new ConfigError('bad_value', ['a', 'b']), 'config', 64],
    ['a certificate that a setting names', new TlsError('BOOTPLANE_TLS_CERT names /nope'), 'config', 64],
    ['silence', new UnreachableError('no_answer', 'nobody'), 'unreachable', 69],
    ['an answer that broke off', new UnreachableError('broken_off', 'half'), 'unreachable', 69],
    ['somebody else', new UnreachableError('not_understood', 'what?'), 'failed', 1],
    ['a refusal', new ApiError(problem('forbidden', 'no')), 'refused', 1],
    ['a part with errors of its own', Object.assign(new Error('held'), { name: 'DataDirLockError' }), 'failed', 1],
    ['the machine', Object.assign(new Error('disk'), { code: 'ENOSPC' }), 'failed', 1],
  ])('%s has its exit code', (_, error, kind, code) => {
    const failure = toCommandError(error);
    expect(failure).toMatchObject({ kind, message: expect.stringContaining(error.message) });
    expect(failure === undefined ? undefined : EXIT_CODES[failure.kind]).toBe(code);
  });

  it.each([
    ['was not sent', { isOfChange: true, cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) }, false, true],
    ['was sent', { isOfChange: true, cause: new Error('no answer within 20 s') }, true, false],
    ['was sent and changes nothing', { cause: new Error('no answer within 20 s') }, false, false],
  ])('a call without an answer that %s', (_, options, isUnknown, mayBeDown) => {
    const failure = toCommandError(new UnreachableError('no_answer', 'nobody answers', options));
    expect(failure?.message.includes('may have been done or not')).toBe(isUnknown);
    expect(failure?.hint?.includes('Is the node up?')).toBe(mayBeDown);
    expect(failure?.hint).toContain('`bootplane doctor`');
  });

  it('a change that may have been done is not to be tried again in a moment', () => {
    const hintOf = (detail: string) => toCommandError(new ApiError(problem('unavailable', detail)))?.hint;
    expect(hintOf('the database is busy')).toContain('Try again');
    expect(hintOf('no answer; the call may have been done or not: look before it is sent again')).not.toContain('ry again');
  });

  it.each([[new Error('?')], [new TypeError('x is not a function')], ['a text'], [undefined]])('%s is a fault', (error) => {
    expect(toCommandError(error)).toBeUndefined();
  });

  it.each([
    ['a port', new DatabaseError('full', 'database or disk is full')],
    ['the system', Object.assign(new Error('write'), { code: 'ENOSPC' })],
  ])('a full disk that %s tells of comes with what to do', (_, error) => {
    expect(toCommandError(error)?.hint).toContain('Free space');
    expect(toCommandError(new DatabaseError('corrupt', 'damaged'))?.hint).toBeUndefined();
  });

  it('every refusal names its code, and its pointers', () => {
    for (const code of Object.keys(PROBLEMS) as ProblemCode[]) {
      const failure = toCommandError(new ApiError(problem(code, 'why', { errors: [{ pointer: '/a', detail: 'is bad' }] })));
      expect(failure?.message).toBe(`why (${code})\n  /a is bad`);
    }
  });
});

it('the help names every exit code', () => {
  for (const code of Object.values(EXIT_CODES)) expect(EXIT_CODE_HELP).toMatch(new RegExp(`^ +${code} `, 'm'));
});
