import { get } from 'node:http';
import { connect } from 'node:net';

const AMQP_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);
const TLS_ALERT = 0x15;
/** The first byte of `connection.start`. */
const METHOD_FRAME = 1;
const LIMIT_MS = 1500;
const MAX_BYTES = 4096;

/** Said of a broker that speaks AMQP 0-9-1 without TLS. */
export const PLAIN_AMQP = 'a broker that speaks AMQP without TLS: use amqp://';

/**
 * What answers at a port that did not open an AMQP connection, in words for people; undefined where that can't be told.
 * Sends no credentials.
 */
export async function whatAnswers(host: string, port: number): Promise<string | undefined> {
  const first = await firstBytes(host, port);
  if (first?.[0] === TLS_ALERT) return 'a server that speaks TLS: use amqps://';
  if (first?.[0] === METHOD_FRAME) return PLAIN_AMQP;
  const text = first?.toString('latin1') ?? '';
  if (text.startsWith('AMQP')) {
    return `a broker of another AMQP version (${[...(first ?? []).slice(4, 8)].join('.')}): RabbitMQ's own protocol is 0-9-1`;
  }
  if (text.startsWith('HTTP/') || text === '') return await describeHttp(host, port);
  return `a server of another kind, which answers ${JSON.stringify(text.slice(0, 40))}`;
}

/** What a server says to an AMQP greeting. */
function firstBytes(host: string, port: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: LIMIT_MS }, () => socket.write(AMQP_HEADER));
    const end = (bytes?: Buffer) => {
      resolve(bytes);
      socket.destroy();
    };
    socket.once('data', end);
    for (const event of ['error', 'timeout', 'close'] as const) socket.once(event, () => end());
  });
}

async function describeHttp(host: string, port: number): Promise<string | undefined> {
  const answer = await httpRoot(host, port);
  if (answer === undefined) return undefined;
  const { server, body, amazon } = answer;
  if (body.includes('RabbitMQ Management')) {
    return "RabbitMQ's management interface (HTTP): AMQP_URL needs the port of AMQP, mostly 5672, and RABBITMQ_MANAGEMENT_URL this one";
  }
  if (amazon || /<(ListAllMyBucketsResult|Error)\b/.test(body)) return `an S3 server (HTTP${server}): it belongs into MINIO_ENDPOINT`;
  return `an HTTP server${server === '' ? '' : ` (${server.slice(2)})`}`;
}

function httpRoot(host: string, port: number): Promise<{ server: string; body: string; amazon: boolean } | undefined> {
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/', timeout: LIMIT_MS, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const end = () => {
        const { server } = response.headers;
        const amazon = Object.keys(response.headers).some((name) => name.startsWith('x-amz-'));
        resolve({ server: server === undefined ? '' : `, ${server}`, body: Buffer.concat(chunks).toString('latin1'), amazon });
        request.destroy();
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.byteLength;
        if (size >= MAX_BYTES) end();
      });
      for (const event of ['end', 'error'] as const) response.once(event, end);
    });
    for (const event of ['error', 'timeout', 'close'] as const) request.once(event, () => resolve(undefined));
  });
}
