import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createWeaviateIndex, type WeaviateOptions } from '../../runtime-node/adapters/vector-weaviate/index.ts';
import { recordingLog } from './recording-log.ts';
import { seededRandom } from './seeded-random.ts';
import { systemClock } from './system-clock.ts';

/** Why nothing can be tried against a real Weaviate here. `.ci/summary.mjs` knows these words. */
export function whyNoWeaviate(): string | undefined {
  return process.env.WEAVIATE_URL === undefined ? 'WEAVIATE_URL names no Weaviate' : undefined;
}

export function weaviateOptions(changes: Partial<WeaviateOptions> = {}): WeaviateOptions {
  const key = process.env.WEAVIATE_API_KEY;
  const own = key === undefined ? {} : { api_key: key };
  const url = process.env.WEAVIATE_URL ?? 'http://127.0.0.1:1';
  return { url, ...own, clock: systemClock, random: seededRandom(), log: recordingLog(), ...changes };
}

export const openWeaviate = (changes?: Partial<WeaviateOptions>) => createWeaviateIndex(weaviateOptions(changes));

/** The server as another program sees it. */
export async function weaviateCall(method: string, path: string, body?: unknown): Promise<unknown> {
  const { url, api_key } = weaviateOptions();
  const headers = { 'content-type': 'application/json', ...(api_key === undefined ? {} : { authorization: `Bearer ${api_key}` }) };
  const response = await fetch(new URL(path, url), { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

export async function classNames(): Promise<string[]> {
  const { classes } = (await weaviateCall('GET', '/v1/schema')) as { classes: { class: string }[] | null };
  return (classes ?? []).map((one) => one.class);
}

/** Removes the classes whose name starts so. */
export async function dropClasses(prefix: string): Promise<void> {
  for (const name of await classNames()) if (name.startsWith(prefix)) await weaviateCall('DELETE', `/v1/schema/${name}`);
}

/** Passes everything on to the real server and notes what it was. */
export async function startRecorder() {
  const target = new URL(weaviateOptions().url);
  const seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const { method = 'GET', headers } = incoming;
    const onward = request(new URL(incoming.url ?? '/', target), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  /** GraphQL asks by POST. */
  const writes = () => seen.filter((line) => !line.startsWith('GET ') && line !== 'POST /v1/graphql');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, writes, close };
}
