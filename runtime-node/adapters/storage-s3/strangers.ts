import { header } from './answers.ts';
import type { S3Failure } from './failure.ts';

/** How the first bytes of what is no HTTP server begin. */
const GREETINGS: readonly (readonly [string, string])[] = [
  ['AMQP', 'an AMQP broker (RabbitMQ?)'],
  ['SSH-', 'an SSH server'],
  ['-ERR', 'a Redis server'],
  ['\x15\x03', 'a server that wants TLS (https://)'],
  ['220 ', 'a mail or FTP server'],
  ['RFB ', 'a VNC server'],
  ['\0\0', 'an HTTP/2 (gRPC?) server'],
];

/** Who sends such bytes. */
export function describeBytes(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  return GREETINGS.find(([greeting]) => start.startsWith(greeting))?.[1];
}

/** Words of a page or answer, and what it comes from. */
const PAGES: readonly (readonly [RegExp, string])[] = [
  [/HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port/i, 'it wants TLS: set MINIO_ENDPOINT to https://…'],
  [/minio console|MinIO Object Store/i, "it is MinIO's web console: the S3 interface has a port of its own, mostly 9000"],
  [/rabbitmq/i, 'it is the management interface of RabbitMQ'],
  [/weaviate/i, 'it is a Weaviate server'],
];

/** Says what answered in place of an S3 store, from an HTTP answer that is none of S3. */
export function describeSite({ status, headers, sample = '' }: S3Failure, origin: string): string {
  const server = header(headers, 'server');
  const type = header(headers, 'content-type')?.split(';')[0];
  const known = PAGES.find(([pattern]) => pattern.test(`${server ?? ''} ${sample}`))?.[1];
  const made = [
    `HTTP status ${status}`,
    type === undefined ? undefined : `content of type ${type}`,
    server === undefined ? undefined : `Server: ${clean(server)}`,
  ];
  const found = made.filter((one) => one !== undefined).join(', ');
  if ([502, 503, 504].includes(status) && known === undefined)
    return `something in front of the store at ${origin} answered in its place (${found}): the store behind it is away`;
  return `what answers at ${origin} is no S3 store (${found})${known === undefined ? ': set MINIO_ENDPOINT' : `: ${known}`}`;
}

/** Another's words in a message of ours: short, and nothing but print. */
function clean(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, 60);
}
