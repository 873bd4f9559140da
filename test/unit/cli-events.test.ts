import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { register } from '../runtime/harness.ts';
import { type Site, startSite } from '../support/cli.ts';

let site: Site;
beforeEach(async () => {
  site = await startSite();
});
afterEach(() => site.close());

describe('events', () => {
  it('prints the last ones, one per line', async () => {
    for (let number = 1; number <= 130; number += 1) await register(site.harness, `node-${number}`);
    const { code, out } = await site.run(['events', '-n', '2']);
    expect(code).toBe(0);
    const lines = out.trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\S+Z {2}overlay\.register {3}node-129 /);
    expect(lines[1]).toContain('node-130');
    expect((await site.run(['events'])).out.trim().split('\n')).toHaveLength(50);
    expect((await site.run(['events', '-n', '0'])).out).toBe('');
  });

  it('--json is one record of the wire per line', async () => {
    await register(site.harness, 'node-1');
    const [first, ...others] = (await site.run(['events', '--json'])).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({ type: 'overlay.register', node_id: 'node-1', cursor: expect.any(String) });
    expect(others).toEqual([]);
    await register(site.harness, 'node-2');
    const after = (await site.run(['events', '--json', '--after', first.cursor])).out;
    expect(JSON.parse(after)).toMatchObject({ node_id: 'node-2' });
  });

  it('-f goes on with what happens', async () => {
    await register(site.harness, 'node-1');
    const stop = new AbortController();
    let streams = 0;
    const { code, out } = await site.run(['events', '-n', '1', '-f'], {
      signal: stop.signal,
      onOutput: (written) => {
        const count = written.split('\n').length - 1;
        if (count < 4) void register(site.harness, `node-${count + 1}`);
        else stop.abort();
        streams = site.asked.filter((call) => call === 'GET /v1/events').length;
      },
    });
    expect(code).toBe(0);
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => /node-\d/.exec(line)?.[0]),
    ).toEqual(['node-1', 'node-2', 'node-3', 'node-4']);
    expect(streams).toBe(2);
  });

  it('-f resumes a stream that ended behind the last event', async () => {
    await register(site.harness, 'node-1');
    const resumed: (string | null)[] = [];
    site.own.set('GET /v1/events', async (request: Request) => {
      const answer = await site.harness.supervisor.fetch(request);
      if (request.headers.get('accept') !== 'text/event-stream') return answer;
      resumed.push(request.headers.get('last-event-id'));
      return new Response(answer.body?.pipeThrough(endAfterOneEvent()), answer);
    });
    const stop = new AbortController();
    const { out } = await site.run(['events', '-f', '--json'], {
      signal: stop.signal,
      onOutput: (written) => {
        const count = written.trim().split('\n').length;
        if (count < 3) void register(site.harness, `node-${count + 1}`);
        else stop.abort();
      },
    });
    const printed = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(printed.map(({ node_id }) => node_id)).toEqual(['node-1', 'node-2', 'node-3']);
    expect(resumed).toEqual([printed[0].cursor, printed[1].cursor]);
  });
});

/** As Workers do it: the stream ends in good order, and the reader comes again. */
function endAfterOneEvent(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      if (new TextDecoder().decode(chunk).includes('data:')) controller.terminate();
    },
  });
}
