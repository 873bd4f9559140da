import { isIP } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import { BusError } from '../../../shared/ports/event-bus.ts';
import { codeOf, messageOf } from '../../thrown.ts';
import type { BrokerAddress } from './address.ts';
import { reasonOf } from './amqp-error.ts';
import { PLAIN_AMQP, whatAnswers } from './probe.ts';

export interface DialOptions {
  readonly address: BrokerAddress;
  /** PEM of the authority that signed the broker's certificate; absent: those that Node trusts. */
  readonly ca?: string;
  /** What the broker's own tools show for this connection. */
  readonly name: string;
  readonly timeout_ms: number;
  readonly heartbeat_s: number;
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: start RabbitMQ, or set AMQP_URL',
  ENOTFOUND: 'there is no such host name',
  EAI_AGAIN: 'the host name could not be looked up',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ECONNRESET: 'it hung up',
};
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/;

/** Opens a connection. Rejects with `backend_away` or `unauthorized`, saying what was found and what to set. */
export async function dial(options: DialOptions): Promise<ChannelModel> {
  const { address, ca, name, timeout_ms, heartbeat_s } = options;
  const { protocol, host, port, vhost, username, password } = address;
  const place = { protocol, hostname: host, port, vhost: encodeURIComponent(vhost), username, password };
  const tls = protocol === 'amqps' ? { ...(ca === undefined ? {} : { ca }), ...(isIP(host) > 0 ? {} : { servername: host }) } : {};
  try {
    return await connect(
      { ...place, heartbeat: address.heartbeat_s ?? heartbeat_s },
      { noDelay: true, keepAlive: true, timeout: timeout_ms, clientProperties: { connection_name: name }, ...tls },
    );
  } catch (error) {
    throw await explain(error, options);
  }
}

/** Why a connection could not be opened, for people. */
async function explain(error: unknown, { address, ca }: DialOptions): Promise<BusError> {
  const { protocol, host, port, vhost, username, identity } = address;
  const text = messageOf(error);
  const code = codeOf(error);
  const refused = (why: string) => new BusError('unauthorized', `RabbitMQ at ${identity} ${why}`, { cause: error });
  const away = (why: string) => new BusError('backend_away', `RabbitMQ could not be reached at ${identity}: ${why}`, { cause: error });
  if (/ACCESS[-_]REFUSED/.test(text)) {
    const local = username === 'guest' ? ' (the user guest may log in from the same machine only)' : '';
    return refused(`refused the user ${username}${local}: set the right user and password in AMQP_URL`);
  }
  if (text.startsWith('Expected ConnectionOpenOk')) {
    return refused(
      `does not let the user ${username} into the virtual host "${vhost}": it does not exist, or the user has no permissions in it`,
    );
  }
  if (text.startsWith('Handshake terminated by server')) return away(`it ended the handshake: ${reasonOf(error)}`);
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
    const found = await whatAnswers(host, port);
    return away(found === undefined ? `no TLS connection came about (${code})` : `at that port is ${found}`);
  }
  if (CERTIFICATE.test(code)) {
    const how =
      ca === undefined
        ? 'give the authority that signed it (NODE_EXTRA_CA_CERTS names its PEM file)'
        : 'the given authority did not sign it, or not for this host';
    return away(`its certificate is not trusted (${code}): ${how}`);
  }
  const known = UNREACHABLE[code];
  if (known !== undefined && code !== 'ECONNRESET') return away(`${known} (${code})`);
  const found = protocol === 'amqp' ? await whatAnswers(host, port) : undefined;
  return away(found === undefined || found === PLAIN_AMQP ? (known ?? text) : `at that port is ${found}`);
}
