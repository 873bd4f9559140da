import { expect, it } from 'vitest';
import { isLoopback } from '../../shared/contract/loopback.ts';

it.each(['http://localhost:7420', 'http://LOCALHOST', 'http://127.0.0.1', 'http://127.9.9.9:1/path', 'http://127.1', 'http://[::1]:7420'])(
  '%s stays inside the machine',
  (url) => {
    expect(isLoopback(url)).toBe(true);
  },
);

it.each([
  'http://192.0.2.7',
  'http://127.0.0.1.example',
  'http://localhost.example',
  'http://0.0.0.0',
  'http://[::]',
  'http://user@192.0.2.7',
  'http://127.0.0.1@192.0.2.7',
  'http://[::ffff:192.0.2.7]',
])('%s may leave it', (url) => {
  expect(isLoopback(url)).toBe(false);
});

it('a text that is no URL is an error, not an answer', () => {
  expect(() => isLoopback('127.0.0.1')).toThrow(TypeError);
});
