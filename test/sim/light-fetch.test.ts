import { describe, expect, it } from 'vitest';
import { LightRequest, LightResponse } from './light-fetch.ts';
import { LightHeaders } from './light-headers.ts';

/** The classes of Node, and those of simulated worlds. */
const SIDES = [
  ['real', { Request, Response, Headers }],
  [
    'simulated',
    {
      Request: LightRequest as unknown as typeof globalThis.Request,
      Response: LightResponse as unknown as typeof globalThis.Response,
      Headers: LightHeaders as unknown as typeof globalThis.Headers,
    },
  ],
] as const;

const URL_OF_ALL = 'http://10.0.0.1:7420/v1/plan?a=1';

describe.each(SIDES)('the %s messages', (_name, sides) => {
  it('have headers without regard to case, in order, and none that would break the message', () => {
    const headers = new sides.Headers({ 'X-Two': ' 2 ', Accept: 'a' });
    headers.append('accept', 'b');
    expect([...headers]).toEqual([
      ['accept', 'a, b'],
      ['x-two', '2'],
    ]);
    expect([headers.get('X-TWO'), headers.get('none'), headers.has('x-two')]).toEqual(['2', null, true]);
    expect(() => headers.set('a b', '')).toThrow(TypeError);
    expect(() => headers.set('a', 'b\r\nc: d')).toThrow(TypeError);
    expect(() => headers.set('a', '\u20ac')).toThrow(TypeError);
    const copy = new sides.Headers(headers);
    copy.delete('accept');
    expect(headers.has('accept')).toBe(true);
  });

  it('are read once, as text, JSON or bytes', async () => {
    const response = new sides.Response('{"a":"\u00e4"}', { status: 201, headers: { etag: '"1"' } });
    expect([response.status, response.ok, response.headers.get('content-type')]).toEqual([201, true, 'text/plain;charset=UTF-8']);
    expect(await response.clone().json()).toEqual({ a: '\u00e4' });
    expect(await response.text()).toBe('{"a":"\u00e4"}');
    expect(response.bodyUsed).toBe(true);
    await expect(response.text()).rejects.toThrow(TypeError);
    expect((await new sides.Response(new Uint8Array([1, 2])).arrayBuffer()).byteLength).toBe(2);
    expect(await new sides.Response(null, { status: 204 }).text()).toBe('');
    expect(() => new sides.Response('x', { status: 204 })).toThrow(TypeError);
    expect(() => new sides.Response('', { status: 700 })).toThrow(RangeError);
  });

  it('hand a body on as a stream', async () => {
    const first = new sides.Response('whole');
    const second = new sides.Response(first.body);
    expect(await second.text()).toBe('whole');
    const chunks: string[] = [];
    const read = new sides.Response('in parts').body?.pipeThrough(new TextDecoderStream());
    for await (const chunk of read ?? []) chunks.push(chunk);
    expect(chunks.join('')).toBe('in parts');
    expect(new sides.Response(null).body).toBeNull();
  });

  it('are requests that take over what they are made from', async () => {
    const gone = new AbortController();
    const first = new sides.Request(URL_OF_ALL, { method: 'post', headers: { 'x-a': '1' }, body: '{}', redirect: 'manual' });
    const second = new sides.Request(first, { signal: gone.signal });
    expect([second.url, second.method, second.headers.get('x-a'), second.redirect]).toEqual([URL_OF_ALL, 'POST', '1', 'manual']);
    expect([first.bodyUsed, await second.text()]).toEqual([true, '{}']);
    gone.abort('gone');
    expect([second.signal.aborted, second.signal.reason, first.signal.aborted]).toEqual([true, 'gone', false]);
    expect(() => new sides.Request(URL_OF_ALL, { body: 'x' })).toThrow(TypeError);
    expect(() => new sides.Request('/v1/plan')).toThrow(TypeError);
    expect(new sides.Request(URL_OF_ALL).body).toBeNull();
  });
});
