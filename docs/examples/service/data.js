// The data API of the node, as far as server.js needs it, with nothing but fetch. The package has all of it, typed:
//   import { connectServices } from 'bootplane/services';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 20_000;
const PAUSE_MS = 2_000;

export function connect({ BOOTPLANE_URL, BOOTPLANE_TOKEN }, signal) {
  async function call(method, path, body, more = {}) {
    if (BOOTPLANE_URL === undefined) throw new Error('BOOTPLANE_URL is not set: a node sets it for the services that it starts');
    const headers = { authorization: `Bearer ${BOOTPLANE_TOKEN}` };
    const response = await fetch(new URL(path, BOOTPLANE_URL), { method, headers, body, ...more });
    if (response.ok) return response;
    // Errors are problem documents (RFC 9457): `code` is for programs, `detail` for people.
    const { code, detail } = await response.json();
    throw Object.assign(new Error(detail), { code });
  }

  async function post(path, body, more) {
    const headers = { authorization: `Bearer ${BOOTPLANE_TOKEN}`, 'content-type': 'application/json' };
    const response = await call('POST', path, JSON.stringify(body), { ...more, headers });
    return response.status === 204 ? undefined : response.json();
  }

  async function pull(queue) {
    const { messages } = await post(`/v1/queues/${queue}/messages`, { wait_ms: WAIT_MS }, { signal });
    return messages.map((message) => ({ ...message, body: Buffer.from(message.body, 'base64').toString() }));
  }

  /** What fails comes again: at once when it is put back, and when this service dies, once its time has run out. */
  async function handle(queue, message, handler) {
    try {
      await handler(message);
    } catch (error) {
      process.stderr.write(`message ${message.message_id} failed: ${error.message}\n`);
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      return post(`/v1/queues/${queue}/messages/reject`, { token: message.token, requeue: true });
    }
    return post(`/v1/queues/${queue}/messages/ack`, { token: message.token });
  }

  return {
    /** `body`: bytes, or a stream of them. */
    put: (bucket, key, body) => call('PUT', `/v1/objects/${bucket}/${key}`, body, { duplex: 'half' }),
    get: async (bucket, key) => new Uint8Array(await (await call('GET', `/v1/objects/${bucket}/${key}`)).arrayBuffer()),
    publish: (exchange, { body, ...message }) =>
      post(`/v1/messages/${exchange}`, { ...message, body: Buffer.from(body).toString('base64') }),
    upsert: (className, objects) => post(`/v1/vectors/${className}`, { objects }),
    search: async (className, query) => (await post(`/v1/vectors/${className}/search`, query)).hits,

    /** Hands each message of the queue to `handler`, until the signal aborts. A node that restarts is waited for. */
    async consume(queue, handler) {
      let told = '';
      while (!signal.aborted) {
        try {
          for (const message of await pull(queue)) await handle(queue, message, handler);
          told = '';
        } catch (error) {
          if (!signal.aborted && error.message !== told) process.stderr.write(`queue ${queue}: ${error.message}\n`);
          told = error.message;
          await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
        }
      }
    },
  };
}
