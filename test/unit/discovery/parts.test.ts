import { describe, expect, it } from 'vitest';
import { whyOlder } from '../../../shared/decide/emergency.ts';
import { boundedFetch } from '../../../shared/discovery/bounded-fetch.ts';
import { openEpochMemory } from '../../../shared/discovery/epoch-memory.ts';
import { createHeardLately } from '../../../shared/discovery/heard-lately.ts';
import { identify } from '../../../shared/discovery/identify.ts';
import { whyUnproved } from '../../../shared/discovery/prove.ts';
import { createReportQueue } from '../../../shared/discovery/report-queue.ts';
import { createTraceKeeper, type LocateReason, TRACE_FILE } from '../../../shared/discovery/trace.ts';
import { createWaker } from '../../../shared/discovery/waker.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const NEVER = new AbortController().signal;

describe('identify', () => {
  const deps = (node_id?: string) => ({
    files: memoryStateFiles(),
    log: recordingLog(),
    clock: new SimulatedClock(),
    random: seededRandom(1),
    ...(node_id === undefined ? {} : { node_id }),
  });

  it('makes an id once and an instance at each boot', async () => {
    const boots = deps();
    const first = await identify(boots);
    const second = await identify(boots);
    expect(first.previous_instance_id).toBeUndefined();
    expect(second).toEqual({
      node_id: first.node_id,
      instance_id: expect.not.stringMatching(first.instance_id),
      previous_instance_id: first.instance_id,
    });
  });

  it('takes the configured id, and names no instance of another id as the one before', async () => {
    const boots = deps();
    await identify(boots);
    expect(await identify({ ...boots, node_id: 'shop-1' })).toEqual({ node_id: 'shop-1', instance_id: expect.any(String) });
    expect((await identify({ ...boots, node_id: 'shop-1' })).previous_instance_id).toBeDefined();
  });

  it.each(['', 'not json', '{}', '{"node_id":"../etc"}', '\u0000\u0000'])(
    'sets a corrupt file (%j) aside and becomes a new node, loudly',
    async (text) => {
      const boots = deps();
      boots.files.texts.set('node.json', text);
      const { node_id } = await identify(boots);
      expect(node_id).toMatch(/^[0-9a-f-]{36}$/);
      expect([...boots.files.texts.values()]).toContain(text);
      expect(boots.log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('BOOTPLANE_NODE_ID') });
      expect((await identify(boots)).node_id).toBe(node_id);
    },
  );

  it.each(['cluster.json', 'discovery-trace.json'])('stays who it is when %s tells it, loudly', async (other) => {
    const boots = deps();
    boots.files.texts.set('node.json', '{"node_');
    boots.files.texts.set(other, JSON.stringify({ node_id: 'node-7', epoch: 3 }));
    expect((await identify(boots)).node_id).toBe('node-7');
    expect([...boots.files.texts.values()]).toContain('{"node_');
    expect(boots.log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('stays node-7') });
    expect((await identify(boots)).node_id).toBe('node-7');
  });

  it('becomes no new node when its file can only not be read', async () => {
    const boots = deps();
    const read = boots.files.read.bind(boots.files);
    boots.files.read = (name) => (name === 'node.json' ? Promise.reject(new Error('permission denied')) : read(name));
    await expect(identify(boots)).rejects.toThrow('permission denied');
  });

  it('rejects when a new identity can not be kept, but lets a known node start', async () => {
    const boots = deps();
    const { node_id } = await identify(boots);
    boots.files.write = () => Promise.reject(new Error('no space left on device'));
    expect((await identify(boots)).node_id).toBe(node_id);
    boots.files.texts.clear();
    await expect(identify(boots)).rejects.toThrow('no space left');
  });
});

describe('which cloud proves itself', () => {
  it.each(['https://cloud.example', 'http://127.0.0.1:8787', 'http://localhost:8787', 'http://[::1]:8787'])('%s does', (url) => {
    expect(whyUnproved(url)).toBeUndefined();
  });
  it.each(['http://cloud.example', 'http://192.168.1.2', 'http://127.0.0.1.evil.example', 'ftp://cloud.example', 'cloud'])(
    '%s does not',
    (url) => {
      expect(whyUnproved(url)).toMatch(/https/);
    },
  );
});

describe('which version may replace the held one', () => {
  const held = { generation: 5, hash: 'a' };
  it.each([
    ['nothing held', undefined, held, true],
    ['the same', held, held, true],
    ['newer', held, { generation: 6, hash: 'b' }, true],
    ['older', held, { generation: 4, hash: 'b' }, false],
    ['same number, other content', held, { generation: 5, hash: 'b' }, false],
    ['a changed seed', { generation: 0, hash: 'a' }, { generation: 0, hash: 'b' }, true],
    ['a seed over what was published', held, { generation: 0, hash: 'b' }, false],
  ])('%s', (_name, before, next, may) => {
    expect(whyOlder(before, next) === undefined).toBe(may);
  });
});

describe('reports', () => {
  const event = (generation: number, message = '') =>
    ({ node_id: 'n', component: 'storage', action: 'reconcile', status: 'applied', generation, message }) as const;

  it('keep their order, and are forgotten only when settled', () => {
    const queue = createReportQueue();
    for (let n = 0; n < 150; n += 1) queue.report(event(n));
    const batch = queue.batch();
    expect(batch.map(({ generation }) => generation)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(queue.batch()).toEqual(batch);
    queue.settle(batch);
    expect(queue.batch()[0]?.generation).toBe(100);
  });

  it('are bounded: the oldest go first, and are counted', () => {
    const queue = createReportQueue({ limit: 3 });
    for (let n = 0; n < 5; n += 1) queue.report(event(n));
    expect(queue.batch().map(({ generation }) => generation)).toEqual([2, 3, 4]);
    expect(queue.dropped).toBe(2);
    expect([queue.newlyDropped(), queue.newlyDropped()]).toEqual([2, 0]);
  });

  it('settle rightly when some of the batch were dropped while it was under way', () => {
    const queue = createReportQueue({ limit: 3 });
    for (let n = 0; n < 3; n += 1) queue.report(event(n));
    const batch = queue.batch();
    queue.report(event(3));
    queue.settle(batch);
    expect(queue.batch().map(({ generation }) => generation)).toEqual([3]);
  });

  it('fit into one message of 64 KiB', () => {
    const queue = createReportQueue();
    for (let n = 0; n < 40; n += 1) queue.report(event(n, 'é'.repeat(2000)));
    const incompatible = Array.from({ length: 1000 }, () => ({ subject: 's'.repeat(500), detail: 'd' }));
    queue.report({ ...event(40), incompatible });
    let sent = 0;
    for (let batch = queue.batch(); batch.length > 0; batch = queue.batch()) {
      expect(new TextEncoder().encode(JSON.stringify(batch)).length).toBeLessThan(65_536);
      sent += batch.length;
      if (sent === 41) expect(batch.at(-1)).toMatchObject({ message: expect.stringContaining('980 more incompatible items') });
      queue.settle(batch);
    }
    expect(sent).toBe(41);
  });
});

describe('a wait that can be cut short', () => {
  it('ends with the time, a wake, a wake before it began, or the signal', async () => {
    const clock = new SimulatedClock();
    const waker = createWaker(clock);
    const ended: string[] = [];
    void waker.wait(NEVER, 1000).then(() => ended.push('time'));
    await clock.advance(999);
    expect(ended).toEqual([]);
    await clock.advance(1);
    void waker.wait(NEVER, 1000).then(() => ended.push('wake'));
    waker.wake();
    await clock.advance(0);
    waker.wake();
    await waker.wait(NEVER, 1000);
    ended.push('early wake');
    const abort = new AbortController();
    void waker.wait(abort.signal).then(() => ended.push('signal'));
    abort.abort();
    await clock.advance(0);
    expect(ended).toEqual(['time', 'wake', 'early wake', 'signal']);
    expect(clock.sleeping).toBe(0);
  });
});

describe('a bounded fetch', () => {
  const clock = new SimulatedClock();
  const bounded = (fetch: (request: Request) => Promise<Response>, signal = NEVER) =>
    boundedFetch({ fetch, clock, timeout_ms: () => 1000, signal });

  it('gives the whole answer and leaves no timer', async () => {
    const answer = await bounded(async (request) => new Response(await request.text(), { headers: { etag: '"1"' } }))(
      new Request('http://x/', { method: 'POST', body: 'body' }),
    );
    expect([await answer.text(), answer.headers.get('etag'), clock.sleeping]).toEqual(['body', '"1"', 0]);
  });

  it.each([204, 304])('passes %i on, which has no body', async (status) => {
    expect((await bounded(async () => new Response(null, { status }))(new Request('http://x/'))).status).toBe(status);
  });

  it('rejects when the body does not end in time, and ends the call below', async () => {
    let below: AbortSignal | undefined;
    const call = bounded(async (request) => {
      below = request.signal;
      return new Response(new ReadableStream({ pull: () => new Promise(() => undefined) }));
    })(new Request('http://x/'));
    const rejected = expect(call).rejects.toThrow('no answer within 1000 ms');
    await clock.advance(1000);
    await rejected;
    expect(below?.aborted).toBe(true);
  });

  it('waits longer by as much as its machine notices the time late, at most twice as long', async () => {
    const slow = new SimulatedClock();
    const late = (late_ms: number) => {
      let is_first = true;
      const sleep = (ms: number, signal?: AbortSignal) => {
        const more_ms = is_first ? late_ms : 0;
        is_first = false;
        return slow.sleep(ms + more_ms, signal);
      };
      return { now: () => slow.now(), monotonic: () => slow.monotonic(), trusted: () => true, sleep };
    };
    const answered_after = (ms: number, late_ms: number) => {
      const fetch = () => slow.sleep(ms).then(() => new Response('late'));
      const call = boundedFetch({ fetch, clock: late(late_ms), timeout_ms: () => 1000, signal: NEVER })(new Request('http://x/'));
      return call.then((response) => response.text(), String);
    };
    const answers = Promise.all([
      answered_after(1500, 400),
      answered_after(1900, 400),
      answered_after(5900, 5000),
      answered_after(9000, 5000),
    ]);
    await slow.advance(10_000);
    expect(await answers).toEqual(['late', expect.stringContaining('no answer'), 'late', expect.stringContaining('no answer')]);
  });

  it('rejects when it is given up', async () => {
    const abort = new AbortController();
    const call = bounded(() => new Promise(() => undefined), abort.signal)(new Request('http://x/'));
    abort.abort();
    await expect(call).rejects.toThrow('given up');
  });
});

describe('the trace of a round that ends as the one before', () => {
  /** Who was asked, as the file tells, after a second round of the same kind that asked another. */
  async function toldAfter(reason: LocateReason): Promise<string[]> {
    const files = memoryStateFiles();
    const traces = createTraceKeeper({ files, log: recordingLog(), clock: new SimulatedClock() });
    for (const url of ['http://192.0.2.1:7420', 'http://192.0.2.2:7420']) {
      const candidates = [{ url, outcome: 'no_answer', detail: 'timeout' }] as const;
      const step = { step: 'peers', outcome: 'no_answer', detail: 'no peer answered', candidates, duration_ms: 1 } as const;
      await traces.keep({ node_id: 'n', reason, steps: [step], result: 'nothing was found', duration_ms: 1 });
    }
    const { steps } = JSON.parse(files.texts.get(TRACE_FILE) ?? '{}');
    return steps[0].candidates.map(({ url }: { url: string }) => url);
  }

  it.each(['boot', 'lost', 'takeover'] as const)('is written anew with whom it asked: %s', async (reason) => {
    expect(await toldAfter(reason)).toEqual(['http://192.0.2.2:7420']);
  });

  it.each(['periodic', 'hint'] as const)('is not written again while all is well: %s', async (reason) => {
    expect(await toldAfter(reason)).toEqual(['http://192.0.2.1:7420']);
  });
});

describe('a damaged state file', () => {
  it.each([
    ['', 'it is not valid'],
    ['{', 'it is not valid'],
    ['{"epoch_seen":"x"}', 'it is not valid: epoch_seen is missing or wrong'],
  ])('that holds %j is told in words', async (text, why) => {
    const [files, log] = [memoryStateFiles(new Map([['epoch.json', text]])), recordingLog()];
    expect((await openEpochMemory({ files, log })).highest).toBe(0);
    expect(log.lines.map(({ message }) => message)).toEqual([`epoch.json can't be used: ${why}; it is kept as epoch.json.unusable-1`]);
  });
});

describe('who was heard lately', () => {
  it('counts as long as it was told, from the last time on', async () => {
    const clock = new SimulatedClock();
    const heard = createHeardLately(clock, () => 1000);
    heard.note('a');
    await clock.advance(1000);
    expect([heard.has('a'), heard.has('b')]).toEqual([true, false]);
    heard.note('a');
    await clock.advance(1000);
    expect(heard.has('a')).toBe(true);
    await clock.advance(1);
    expect(heard.has('a')).toBe(false);
  });

  it('is bounded: whoever was heard longest ago is forgotten', () => {
    const heard = createHeardLately(new SimulatedClock(), () => 1000);
    for (let index = 0; index < 1024; index += 1) heard.note(`${index}`);
    heard.note('0');
    heard.note('one more');
    expect(['0', '1', '2', 'one more'].map(heard.has)).toEqual([true, false, true, true]);
  });
});
