import { describe, expect, it } from 'vitest';
import { ApiError, createClient, readEvents, readServerSentEvents, UnreachableError } from '../../shared/client.ts';
import { PROBLEM_JSON, problem } from '../../shared/contract/problem.ts';

const json = (body: unknown, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json', ...headers } });

/** A client whose server answers so, and what it was asked. */
function clientOf(respond: (request: Request) => Response | Promise<Response>) {
  const requests: Request[] = [];
  const client = createClient({
    url: 'http://127.0.0.1:7420',
    credential: 'secret',
    token: () => ({ epoch: 4, node_id: 'leader-1' }),
    fetch: async (request) => {
      requests.push(request.clone());
      return respond(request);
    },
  });
  return { client, requests };
}

const events = (...chunks: string[]) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    }),
  );

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe('the client', () => {
  it('sends its credential with each call, and its token with writes only', async () => {
    const { client, requests } = clientOf(() => json({ registered: true }));
    await client.register({ node_id: 'n', capabilities: [], host: 'h', ip: '192.0.2.1', versions: {} });
    await client.leader().catch(() => undefined);
    expect(requests.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer secret', 'Bearer secret']);
    expect(requests.map(({ headers }) => headers.get('Bootplane-Epoch'))).toEqual(['4/leader-1', null]);
  });

  it('reads what the headers say of the fleet', async () => {
    const headers = { 'Bootplane-Epoch': '9/n2', 'Bootplane-Desired': 'plan=3, profile=7' };
    const { client } = clientOf(() => new Response(null, { status: 204, headers }));
    const answer = await client.heartbeat({ node_id: 'n', role: 'worker', services_running: [], versions: {} });
    expect(answer).toMatchObject({ status: 204, desired: { plan: 3, profile: 7 }, token: { epoch: 9, node_id: 'n2' } });
  });

  it('gives a document, or 304 when the one that is held is current', async () => {
    const { client } = clientOf((request) =>
      request.headers.get('if-none-match') === '"3"' ? new Response(null, { status: 304 }) : json({ services: [] }, { etag: '"3"' }),
    );
    expect(await client.document('plan')).toMatchObject({ status: 200, body: { services: [] }, etag: '"3"' });
    expect(await client.document('plan', '"3"')).toMatchObject({ status: 304, body: undefined });
  });

  it('rejects with the problem of a Supervisor', async () => {
    const { client } = clientOf(
      () => new Response(JSON.stringify(problem('unknown_node', 'who?')), { status: 404, headers: { 'content-type': PROBLEM_JSON } }),
    );
    const error = await client.plan('n').catch((reason) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error.problem).toMatchObject({ code: 'unknown_node', detail: 'who?' });
  });

  it.each([
    [
      'nobody on a machine that is there',
      () => Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) })),
      'refused',
    ],
    ['nobody', () => Promise.reject(new TypeError('fetch failed', { cause: new Error('EHOSTUNREACH') })), 'no_answer'],
    [
      'half an answer',
      () => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('reset')) })),
      'broken_off',
    ],
    ['a captive portal', () => new Response('<html>', { headers: { 'content-type': 'text/html' } }), 'not_understood'],
    ['a redirect', () => new Response(null, { status: 302, headers: { location: 'http://portal' } }), 'not_understood'],
    ['an error page', () => new Response('<html>', { status: 502 }), 'not_understood'],
    ['an empty body', () => new Response(''), 'not_understood'],
    ['a list', () => json([]), 'not_understood'],
  ] as const)('says by its kind what went wrong: %s', async (_who, respond, kind) => {
    const { client } = clientOf(respond);
    const error = await client.document('plan').catch((reason) => reason);
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error.kind).toBe(kind);
    expect(error.message).toContain('127.0.0.1:7420');
  });

  it('names the innermost reason', async () => {
    const { client } = clientOf(() => Promise.reject(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })));
    await expect(client.state()).rejects.toThrow('http://127.0.0.1:7420 does not answer: connect ECONNREFUSED');
  });
});

describe('a stream of server-sent events', () => {
  it('is taken apart, however it is cut into pieces and whatever ends its lines', async () => {
    const stream = ': hello\n\nid: 1\nevent: note\ndata: é one\ndata: two\n\ndata:three\r\n\r\nid: 2\rdata: four\r\rdata: cut off';
    const bytes = new TextEncoder().encode(stream);
    for (const size of [1, 2, 3, 7, bytes.length]) {
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
          controller.close();
        },
      });
      expect(await collect(readServerSentEvents(body))).toEqual([
        { id: '1', event: 'note', data: 'é one\ntwo' },
        { id: '1', event: 'message', data: 'three' },
        { id: '2', event: 'message', data: 'four' },
      ]);
    }
  });

  it('gives the lines of the event log and passes over what this version does not know', async () => {
    const record = { cursor: '7', type: 'overlay.register', site: 'default', at: '2026-01-01T00:00:00.000Z', data: {} };
    const response = events(`id: 7\ndata: ${JSON.stringify(record)}\n\n`, 'data: {"type":"overlay.tomorrow"}\n\n', 'data: not json\n\n');
    expect(await collect(readEvents(response))).toEqual([record]);
  });

  it('rejects when it breaks, and is cancelled when nobody reads on', async () => {
    const broken = new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('reset')) }));
    await expect(collect(readEvents(broken))).rejects.toMatchObject({ name: 'UnreachableError', kind: 'broken_off' });
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
      cancel: () => {
        isCancelled = true;
      },
    });
    for await (const _event of readServerSentEvents(endless)) break;
    expect(isCancelled).toBe(true);
  });

  it('is asked for with the last cursor, and refused with a problem', async () => {
    const { client, requests } = clientOf(
      () => new Response(JSON.stringify(problem('forbidden', 'no')), { status: 403, headers: { 'content-type': PROBLEM_JSON } }),
    );
    await expect(client.eventStream('41')).rejects.toBeInstanceOf(ApiError);
    expect([requests[0]?.headers.get('accept'), requests[0]?.headers.get('last-event-id')]).toEqual(['text/event-stream', '41']);
  });
});
