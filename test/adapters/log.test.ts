import { spawnSync } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createNodeLog, type NodeLogOptions } from '../../runtime-node/adapters/log.ts';
import { isSecretName } from '../../runtime-node/adapters/log-fields.ts';
import { formatDuration } from '../../runtime-node/adapters/log-text.ts';
import type { Log } from '../../shared/ports/log.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function written(use: (log: Log) => void, options: Partial<NodeLogOptions> = {}): string {
  const stream = new PassThrough();
  use(createNodeLog({ format: 'text', clock: { now: () => NOW }, stream, color: false, ...options }));
  return stream.read()?.toString() ?? '';
}
const json = (use: (log: Log) => void, options: Partial<NodeLogOptions> = {}) =>
  written(use, { format: 'json', ...options })
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('the boot log for people', () => {
  test('a step is a mark, its name, its result and its duration', () => {
    const text = written((log) => {
      log.info('identify', { step: true, result: 'node 0192 (new)', duration_ms: 2 });
      log.info('locate', { step: true, result: 'no other control plane', duration_ms: 1012.4 });
      log.warn('broker', { step: true, result: 'failed: connection refused', generation: 3, duration_ms: 12_034 });
      log.error('services', { step: true, result: 'hello is not healthy' });
    });
    expect(text.split('\n')).toEqual([
      '✔ identify        node 0192 (new)                                       2 ms',
      '✔ locate          no other control plane                             1012 ms',
      '! broker          failed: connection refused                          12.0 s  generation=3',
      '✖ services        hello is not healthy',
      '',
    ]);
  });

  test('a step leaves out the fields of child and what its result says already', () => {
    const text = written((log) =>
      log
        .child({ component: 'node' })
        .info('identify', { step: true, result: 'node 0192-abcdef', node_id: '0192-abcdef', duration_ms: 0.2 }),
    );
    expect(text).toMatch(/^✔ identify {8}node 0192-abcdef +<1 ms\n$/);
  });

  test('an action of a reconcile stands below the steps, without what only programs read', () => {
    const run = {
      component: 'storage',
      generation: 1,
      hash: 'a'.repeat(64),
      idempotency_key: 'b'.repeat(64),
      attempt: 1,
      duration_ms: 1.48,
    };
    const text = written((log) => {
      log.info('storage: ensure-bucket bucket captures', { ...run, action: 'ensure-bucket bucket captures', status: 'applied' });
      const versioning = 'enable-versioning versioning of bucket captures';
      log.info(`storage: ${versioning}`, { ...run, action: versioning, status: 'applied' });
      log.warn('the disk is full', { ...run, action: 'ensure-bucket bucket reports', status: 'failed' });
    });
    expect(text.split('\n')).toEqual([
      '  · storage       ensure-bucket captures                                1 ms  applied',
      '  · storage       enable-versioning of bucket captures                  1 ms  applied',
      '  · storage       the disk is full                                      1 ms  failed',
      '',
    ]);
  });

  test('a check for drift that finds nothing is no line for a person, one that restores something or fails is', () => {
    const run = { component: 'storage', action: 'reconcile', idempotency_key: 'b'.repeat(64), duration_ms: 1 };
    const act = (log: Log) => {
      log.info('storage: reconcile', { ...run, status: 'unchanged' });
      log.info('services: reconcile', { ...run, component: 'services', status: 'unchanged' });
      log.info('start-service service hello', { ...run, component: 'services', status: 'applied' });
      log.info('changed since it was applied', { ...run, status: 'applied' });
      log.warn('s3 at http://192.0.2.9:9000 is away', { ...run, status: 'pending' });
      log.warn('storage: reconcile', { ...run, status: 'failed' });
    };
    expect(written(act).trimEnd().split('\n')).toEqual([
      expect.stringContaining('changed since it was applied'),
      expect.stringMatching(/reconcile .* failed$/),
    ]);
    // programs get them all
    expect(json(act)).toHaveLength(6);
  });

  test('a long result moves the duration and is not cut', () => {
    const result = 'x'.repeat(100);
    expect(written((log) => log.info('plan', { step: true, result, duration_ms: 5 }))).toBe(`✔ plan            ${result}      5 ms\n`);
  });

  test('every other line is time, level, message and fields', () => {
    const text = written((log) => {
      log.child({ component: 'storage' }).info('expired objects', { bucket: 'one', objects: 3, rule: 'a b', gone: undefined });
      log.warn('locate again', {
        url: 'http://10.0.0.1:8080/v1',
        list: [1, 2],
        error: new Error('refused', { cause: new Error('no route') }),
      });
    });
    expect(text.split('\n')).toEqual([
      '03:04:05.678 info  expired objects component=storage bucket=one objects=3 rule="a b"',
      '03:04:05.678 warn  locate again url=http://10.0.0.1:8080/v1 list=[1,2] error="refused (no route)"',
      '',
    ]);
  });

  test('writes what the level asks for', () => {
    const all = (log: Log) => {
      log.debug('d');
      log.info('i');
      log.warn('w');
      log.error('e');
    };
    const messages = (options: Partial<NodeLogOptions>) => json(all, options).map(({ message }) => message);
    expect(messages({})).toEqual(['i', 'w', 'e']);
    expect(messages({ level: 'debug' })).toEqual(['d', 'i', 'w', 'e']);
    expect(messages({ level: 'error' })).toEqual(['e']);
    expect(written(all, { level: 'warn' }).trim().split('\n')).toHaveLength(2);
  });

  test('has colours only where it is told or on a terminal', () => {
    const step = (log: Log) => log.warn('x', { step: true, result: 'y' });
    expect(written(step)).not.toContain('\u001b[');
    expect(written(step, { color: true })).toContain('\u001b[33m');
    const file = new PassThrough();
    createNodeLog({ format: 'text', clock: { now: () => NOW }, stream: file }).warn('x');
    expect(file.read().toString()).not.toContain('\u001b[');
  });

  test('text from elsewhere can not forge lines or colours', () => {
    const text = written((log) => {
      log.info('hello\n✔ forged\u001b[31m', { name: 'a\r\nb', 'odd\nname': 1, bidi: 'a\u202eb' });
      log.info('plan\n', { step: true, result: 'x\n✔ elect leader' });
    });
    expect(text.split('\n')).toHaveLength(3);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}|\u202e/u);
    expect(text).toContain('\\u000a');
  });

  test.each([
    [0, '<1 ms'],
    [1, '1 ms'],
    [9999, '9999 ms'],
    [10_000, '10.0 s'],
    [119_000, '119.0 s'],
    [180_000, '3 min'],
    [Number.NaN, ''],
  ])('shows %d ms as %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('the log for programs', () => {
  test('is one object per line with level, time, message and fields', () => {
    const lines = json((log) => {
      log
        .child({ node_id: 'n1', component: 'a' })
        .child({ component: 'b' })
        .info('identify', { step: true, result: 'new', duration_ms: 2 });
      log.error('bad\nnews');
    });
    expect(lines).toEqual([
      {
        level: 'info',
        time: '2026-01-02T03:04:05.678Z',
        message: 'identify',
        node_id: 'n1',
        component: 'b',
        step: true,
        result: 'new',
        duration_ms: 2,
      },
      { level: 'error', time: '2026-01-02T03:04:05.678Z', message: 'bad\nnews' },
    ]);
  });

  test('a field does not replace level, time or message', () => {
    const [line] = json((log) => log.info('real', { message: 'x', level: 'y', time: 'z' }));
    expect(line).toMatchObject({ message: 'real', level: 'info', message_: 'x', level_: 'y', time_: 'z' });
  });

  test('an error is its kind, message and cause', () => {
    const error = Object.assign(new Error('could not store', { cause: new Error('disk') }), { kind: 'full' });
    expect(json((log) => log.warn('failed', { error }))[0].error).toEqual({
      name: 'Error',
      kind: 'full',
      message: 'could not store',
      cause: { name: 'Error', message: 'disk' },
    });
  });
});

describe('secrets', () => {
  test.each([
    'fleet_key',
    'key',
    'keys',
    'api_key',
    'apiKey',
    'x-api-key',
    'private_key',
    'credential',
    'nodeCredential',
    'client_secret',
    'SECRET',
    'token',
    'access_token',
    'Authorization',
    'set-cookie',
    'password',
  ])('%s is taken for one', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  test.each([
    'idempotency_key',
    'routing_key',
    'object_key',
    'public_key',
    'keyboard',
    'monkey',
    'node_id',
    'tokenizer',
    'secretary',
    'url',
  ])('%s is not', (name) => {
    expect(isSecretName(name)).toBe(false);
  });

  test.each(['text', 'json'] as const)('never reach the %s log', (format) => {
    const text = written(
      (log) => {
        log.child({ authorization: 'Bearer hidden1' }).info('got Bearer hidden2 from amqp://user:hidden3@host with bpk_hidden-10', {
          fleet_key: 'hidden4',
          deep: { list: [{ token: { value: 'hidden5' } }] },
          header: 'Basic hidden6==',
          url: 'https://hidden7@host/x',
          error: new Error('refused https://a:hidden8@host', { cause: Object.assign(new Error('x'), { kind: 'Bearer hidden9' }) }),
          map: new Map([['secret', 'hidden10']]),
        });
      },
      { format },
    );
    expect(text).toContain('[redacted]');
    expect(text).not.toContain('hidden');
  });
});

describe('never throws', () => {
  const circular: Record<string, unknown> = { name: 'ring' };
  circular.self = circular;
  const hostile = Object.defineProperty({}, 'x', {
    enumerable: true,
    get: () => {
      throw new Error('getter');
    },
  });
  let deep: unknown = 'end';
  for (let level = 0; level < 5000; level += 1) deep = { deep };
  const odd = {
    circular,
    hostile,
    deep,
    big: 10n,
    nan: Number.NaN,
    fn: () => 1,
    sym: Symbol('s'),
    bytes: new Uint8Array(9),
    date: new Date(Number.NaN),
    long: 'x'.repeat(100_000),
    many: Array.from({ length: 5000 }, () => 1),
  };

  test.each(['text', 'json'] as const)('%s writes one line whatever it is given', (format) => {
    const text = written((log) => log.info('odd', odd), { format });
    expect(text.split('\n')).toHaveLength(2);
    expect(text.length).toBeLessThan(10_000);
    for (const part of [
      '[circular]',
      '[unreadable]',
      '[deeper]',
      'NaN',
      '[function]',
      '[9 bytes]',
      '[invalid date]',
      '[4900 more]',
      '100000 characters',
    ])
      expect(text).toContain(part);
  });

  test.each(['text', 'json'] as const)('%s stands a clock that shows no date', (format) => {
    for (const now of [Number.NaN, 1e20, -1e20])
      expect(written((log) => log.info('still here'), { format, clock: { now: () => now } })).toContain('still here');
  });

  test.each(['text', 'json'] as const)('%s stands a stream that is closed or broken', (format) => {
    const stream = new PassThrough();
    const log = createNodeLog({ format, clock: { now: () => NOW }, stream });
    stream.destroy(new Error('EPIPE'));
    log.info('lost');
    const throwing = new PassThrough();
    throwing.write = () => {
      throw new Error('write');
    };
    createNodeLog({ format, clock: { now: () => NOW }, stream: throwing }).error('lost');
    expect(stream.read()).toBeNull();
  });

  test('a process whose reader has gone goes on', () => {
    const script = `
      import { createNodeLog } from './runtime-node/adapters/log.ts';
      const log = createNodeLog({ format: 'text', clock: { now: () => 0 } });
      for (let line = 0; line < 5000; line += 1) { log.info('x'.repeat(100)); if (line % 100 === 0) await new Promise(setImmediate); }
      process.stderr.write('went on');`;
    const child = spawnSync('sh', ['-c', '"$1" --input-type=module -e "$2" | head -n 1', 'sh', process.execPath, script], {
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('went on');
  });
});
