import { isIP } from 'node:net';
import { BusError } from '../../../shared/ports/event-bus.ts';

/** Where a broker is and who asks, from a URL as https://www.rabbitmq.com/docs/uri-spec describes it. */
export interface BrokerAddress {
  readonly protocol: 'amqp' | 'amqps';
  readonly host: string;
  readonly port: number;
  readonly vhost: string;
  readonly username: string;
  /** Goes to the broker and nowhere else: no message, log line or identity may hold it. */
  readonly password: string;
  /** Seconds; absent: what the adapter takes. */
  readonly heartbeat_s?: number;
  /** `amqp://host:port/vhost`, without secrets. */
  readonly identity: string;
}

const PORTS = { amqp: 5672, amqps: 5671 } as const;
const SHAPE = 'amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS';

/** Throws `BusError` `failed` that says what is wrong with the URL, without showing it. */
export function parseAddress(text: string): BrokerAddress {
  const url = URL.canParse(text) ? new URL(text) : refuse('is not a URL');
  const protocol = url.protocol.slice(0, -1);
  if (protocol !== 'amqp' && protocol !== 'amqps') refuse(`starts with ${protocol}:, which is not RabbitMQ's protocol`);
  const kind = protocol as keyof typeof PORTS; // refused above where it is another
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (host === '') refuse('names no host');
  const port = url.port === '' ? PORTS[kind] : Number(url.port);
  const path = url.pathname.replace(/^\//, '');
  if (path.includes('/')) refuse('has more than one part after the host: a / within the name of a virtual host is written %2F');
  const vhost = path === '' ? '/' : decoded(path, 'virtual host');
  const anonymous = url.username === '' && url.password === '';
  const heartbeat = Number(url.searchParams.get('heartbeat') ?? Number.NaN);
  return {
    protocol: kind,
    host,
    port,
    vhost,
    username: anonymous ? 'guest' : decoded(url.username, 'user'),
    password: anonymous ? 'guest' : decoded(url.password, 'password'),
    ...(Number.isInteger(heartbeat) && heartbeat > 0 && heartbeat <= 3600 ? { heartbeat_s: heartbeat } : {}),
    identity: `${kind}://${isIP(host) === 6 ? `[${host}]` : host}:${port}/${encodeURIComponent(vhost)}`,
  };
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(`has a % in its ${what} that starts no escape: write % as %25`);
  }
}

function refuse(problem: string): never {
  throw new BusError('failed', `The address of RabbitMQ (AMQP_URL) ${problem}. It must look like ${SHAPE}`);
}
