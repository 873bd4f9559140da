import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectServices } from '../../runtime-node/services.ts';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { ApiError, createServices, type Delivery, type Services, UnreachableError } from '../../shared/services/index.ts';
import { type DataWorld, embeddedPorts, startData } from '../runtime/data.harness.ts';
import { until } from '../support/until.ts';

let world: DataWorld;
let services: Services;
/** Stands between the client and the node. */
let wire: (request: Request) => Promise<Response>;
let slept: number[];

beforeEach(async () => {
  world = await startData(embeddedPorts);
  slept = [];
  wire = (request) => world.harness.fetch(new URL(request.url).pathname + new URL(request.url).search, request);
  services = createServices({
    url: 'http://node.test',
    token: world.token,
    fetch: (request) => wire(request),
    // Time that passes at once, but lets others go first.
    sleep: async (ms) => {
      slept.push(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  });
});
afterEach(() => world.close());

const refusal = (code: string) => expect.objectContaining({ problem: expect.objectContaining({ code }) });

describe('objects', () => {
  const { objects } = { objects: () => services.objects };

  it('are put, read whole and in part, listed and removed', async () => {
    const sha256 = await sha256Hex(new TextEncoder().encode('picture'));
    const info = await objects().put('captures', 'raw/ü 100%', 'picture', { content_type: 'image/png', sha256 });
    expect(info).toMatchObject({ key: 'raw/ü 100%', size: 7, sha256 });
    expect(await objects().head('captures', 'raw/ü 100%')).toEqual(info);
    const found = await objects().get('captures', 'raw/ü 100%');
    expect([found?.info, await found?.text()]).toEqual([info, 'picture']);
    const part = await objects().get('captures', 'raw/ü 100%', { range: { start: 1, end: 2 } });
    expect([part?.info, await part?.bytes()]).toEqual([info, new TextEncoder().encode('ic')]);
    expect(await objects().list('captures', { prefix: 'raw/' })).toEqual({ objects: [info] });
    await objects().delete('captures', 'raw/ü 100%');
    expect(await objects().get('captures', 'raw/ü 100%')).toBeUndefined();
    expect(await objects().head('captures', 'raw/ü 100%')).toBeUndefined();
  });

  it('go up as a stream, and not where a key is taken or the hash differs', async () => {
    const body = new Blob(['some ', 'bytes']).stream();
    expect(await objects().put('captures', 'k', body, { if_absent: true })).toMatchObject({ size: 10 });
    await expect(objects().put('captures', 'k', 'other', { if_absent: true })).rejects.toEqual(refusal('already_exists'));
    await expect(objects().put('captures', 'l', 'other', { sha256: '0'.repeat(64) })).rejects.toEqual(refusal('checksum_mismatch'));
  });

  it('tell a bucket that is not there from a key that is not', async () => {
    await expect(objects().get('elsewhere', 'k')).rejects.toEqual(refusal('no_such_bucket'));
    await expect(objects().head('elsewhere', 'k')).rejects.toEqual(refusal('no_such_bucket'));
    await expect(objects().put('captures', 'a/../b', 'x')).rejects.toEqual(refusal('invalid_parameter'));
    await expect(objects().put('captures', '..', 'x')).rejects.toThrow(TypeError);
  });
});

describe('messages', () => {
  it('are published, pulled and settled', async () => {
    const message = { key: 'frame.new', message_id: 'm', body: 'ü', headers: { a: 1 } };
    expect(await services.messages.publish('cameras', message)).toEqual({ routed: true });
    const [delivery] = await services.messages.pull('frames', { visibility_ms: 1000 });
    expect([delivery?.text(), delivery?.headers, delivery?.message_id]).toEqual(['ü', { a: 1 }, 'm']);
    await services.messages.reject('frames', delivery?.token ?? '', { requeue: true });
    const [again] = await services.messages.pull('frames');
    expect(again?.redelivered).toBe(true);
    await services.messages.ack('frames', again?.token ?? '');
    await expect(services.messages.ack('frames', again?.token ?? '')).rejects.toEqual(refusal('unknown_delivery'));
  });

  const publish = (message_id: string) => services.messages.publish('cameras', { key: 'frame.new', message_id, body: message_id });

  it('are consumed, each until a handler has done it', async () => {
    for (const id of ['a', 'b', 'c']) await publish(id);
    const seen: string[] = [];
    const errors: unknown[] = [];
    const consumer = services.messages.consume(
      'frames',
      async (delivery: Delivery) => {
        seen.push(`${delivery.text()} ${delivery.redelivered}`);
        if (delivery.text() === 'b' && !delivery.redelivered) throw new Error('not yet');
      },
      { prefetch: 2, onError: (error) => errors.push(error) },
    );
    await until('all four', async () => seen.length === 4);
    await consumer.stop();
    expect(seen.sort()).toEqual(['a false', 'b false', 'b true', 'c false']);
    expect(errors).toEqual([new Error('not yet')]);
    expect(await world.bus.queueStats('frames')).toEqual({ ready: 0, unacked: 0 });
  });

  it('are consumed on when the node was away, with pauses that grow', async () => {
    const through = wire;
    let away = 5;
    wire = async (request) => {
      away -= 1;
      if (away >= 0) throw new TypeError('fetch failed');
      return through(request);
    };
    await world.bus.publish({ exchange: 'cameras', key: 'frame.new', message_id: 'm', body: new Uint8Array() });
    const errors: unknown[] = [];
    const seen: string[] = [];
    const handler = async ({ message_id }: Delivery) => void seen.push(message_id);
    const consumer = services.messages.consume('frames', handler, { onError: (error) => errors.push(error) });
    await until('the message', async () => seen.length === 1);
    await consumer.stop();
    expect(seen).toEqual(['m']);
    expect(errors).toHaveLength(5);
    expect(errors[0]).toBeInstanceOf(UnreachableError);
    expect(slept).toEqual([250, 500, 1000, 2000, 4000]);
  });

  it('have at most prefetch handlers under way, and stop waits for them', async () => {
    for (const id of ['a', 'b', 'c']) await publish(id);
    const gate = Promise.withResolvers<void>();
    let active = 0;
    const handler = async () => {
      active += 1;
      await gate.promise;
    };
    const consumer = services.messages.consume('frames', handler, { prefetch: 2 });
    await until('two', async () => active === 2);
    let stopped = false;
    const stopping = consumer.stop().then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([active, stopped]).toEqual([2, false]);
    gate.resolve();
    await stopping;
    expect(await world.bus.queueStats('frames')).toEqual({ ready: 1, unacked: 0 });
  });
});

describe('vectors', () => {
  it('are upserted, found, read, listed, counted and removed', async () => {
    const { vectors } = services;
    const objects = [
      { id: 'a/b', vector: [1, 0, 0], meta: { camera: 'door' } },
      { id: 'c', vector: [0, 1, 0] },
    ];
    await vectors.upsert('Frame', objects);
    expect(await vectors.search('Frame', { vector: [1, 0.1, 0], limit: 1 })).toMatchObject([{ id: 'a/b', meta: { camera: 'door' } }]);
    expect(await vectors.get('Frame', 'a/b')).toEqual(objects[0]);
    expect(await vectors.count('Frame')).toBe(2);
    expect(await vectors.list('Frame', { limit: 1 })).toEqual({ objects: [objects[0]], next: 'a/b' });
    await vectors.delete('Frame', 'a/b');
    expect(await vectors.get('Frame', 'a/b')).toBeUndefined();
    await expect(vectors.count('Nothing')).rejects.toBeInstanceOf(ApiError);
    await expect(vectors.upsert('Frame', [{ id: 'x', vector: [1] }])).rejects.toEqual(refusal('invalid_body'));
  });
});

describe('connecting', () => {
  it('takes address and token from the environment, and says which one is missing', () => {
    expect(() => connectServices({ token: 't' })).toThrow(/BOOTPLANE_URL is not set/);
    expect(() => connectServices({ url: 'http://127.0.0.1:7420' })).toThrow(/BOOTPLANE_TOKEN is not set/);
    expect(connectServices({ url: 'http://127.0.0.1:7420', token: 't' })).toHaveProperty('objects');
  });
});
