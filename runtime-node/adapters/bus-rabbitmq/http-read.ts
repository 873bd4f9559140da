import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface HttpReadOptions {
  readonly username: string;
  readonly password: string;
  /** PEM; https only. */
  readonly ca?: string;
  readonly timeout_ms: number;
  /** More than this is refused. */
  readonly max_bytes: number;
}

/** Reads a JSON document. Rejects with an `Error` that says why, without credentials. */
export async function readJson(url: URL, options: HttpReadOptions): Promise<{ status: number; body: unknown }> {
  const { status, text } = await readText(url, options);
  if (status !== 200) return { status, body: undefined };
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    throw new Error(`it answers ${JSON.stringify(text.slice(0, 40))}, which is not JSON`);
  }
}

function readText(url: URL, { username, password, ca, timeout_ms, max_bytes }: HttpReadOptions) {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  const signal = AbortSignal.timeout(timeout_ms);
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(url, { headers: { authorization, accept: 'application/json' }, signal, ...(ca === undefined ? {} : { ca }) });
    sent.once('error', (error) => reject(signal.aborted ? new Error(`no answer within ${timeout_ms / 1000} s`) : error));
    sent.once('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        size += chunk.byteLength;
        if (size > max_bytes) sent.destroy(new Error(`it answers with more than ${max_bytes} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
    });
    sent.end();
  });
}
