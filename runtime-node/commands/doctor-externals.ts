import { connect } from 'node:net';
import { type BacklogStatus, EnvironmentComponentName } from '../../shared/contract/backlog.ts';
import type { ComponentStatus, Health } from '../../shared/contract/status.ts';
import type { Settings } from '../config.ts';
import { messageOf } from '../thrown.ts';
import { type Finding, fail, ok, warn } from './doctor-finding.ts';
import type { Io } from './io.ts';

/** How long an external may take to answer, milliseconds. */
const ANSWER_WITHIN_MS = 5_000;
const AMQP_PORTS: Readonly<Record<string, number>> = { 'amqp:': 5672, 'amqps:': 5671 };

/**
 * The externals of a node. What the node that runs says of them comes first: it has asked them with its keys. Without one
 * each is dialled from here.
 */
export async function checkExternals(io: Io, settings: Settings, health: Health | undefined): Promise<Finding[]> {
  const checks = EnvironmentComponentName.options.flatMap((component): (Finding | Promise<Finding>)[] => {
    const backlog = health?.backlog?.[component];
    if (backlog !== undefined) return [fromNode(component, health?.adapters?.[component] ?? '', backlog, health?.components?.[component])];
    return health === undefined ? dial(io, settings, component) : [];
  });
  return Promise.all(checks);
}

function fromNode(component: EnvironmentComponentName, kind: string, status: BacklogStatus, applied: ComponentStatus | undefined): Finding {
  const name = `${component} (${kind})`;
  const { presence, reason, waiting, forwarded, conflicts } = status;
  const counts = `${waiting} waiting, ${forwarded} gone over, ${conflicts} in conflict`;
  if (presence === 'away') {
    const advice = 'Start it, or correct its settings. What is written waits on this node and goes over by itself.';
    return fail(name, `it does not answer the node (${reason ?? 'no reason'}): ${counts}`, advice);
  }
  if (applied?.status === 'failed')
    return fail(name, `it answers, and could not be brought to the profile: ${applied.message ?? ''}`, 'The message says what to set.');
  if (reason !== undefined) return fail(name, `it answers the node with an error (${reason}): ${counts}`, 'The message says what to set.');
  if (conflicts > 0) return warn(name, `it answers: ${counts}`, '`bootplane backlog` shows both sides of each and ends it.');
  if (waiting > 0) return warn(name, `it answers: ${counts}`, 'It goes over by itself; `bootplane status` shows how far it is.');
  return ok(name, `it answers the node: ${counts}`);
}

function dial(io: Io, settings: Settings, component: EnvironmentComponentName): Promise<Finding>[] {
  const { s3_endpoint, amqp_url, rabbitmq_management_url, weaviate_url, weaviate_api_key } = settings;
  if (component === 'storage') return s3_endpoint === undefined ? [] : [askStore(io, s3_endpoint)];
  if (component === 'vector') return weaviate_url === undefined ? [] : [askWeaviate(io, weaviate_url, weaviate_api_key)];
  return [
    ...(amqp_url === undefined ? [] : [knock(io, amqp_url)]),
    ...(amqp_url === undefined || rabbitmq_management_url === undefined ? [] : [askManagement(io, rabbitmq_management_url, amqp_url)]),
  ];
}

/** Without a signature a store refuses: that it answers is what this tells. */
async function askStore(io: Io, endpoint: string): Promise<Finding> {
  const { answer, why } = await ask(io, new URL('/', endpoint));
  if (answer === undefined) return away('storage (s3)', endpoint, why, 'MINIO_ENDPOINT');
  return ok('storage (s3)', `${endpoint} answers; a node that runs tells whether its keys are taken`);
}

async function askWeaviate(io: Io, url: string, key: string | undefined): Promise<Finding> {
  const name = 'vector (weaviate)';
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const { answer, why } = await ask(io, new URL('/v1/meta', url), headers);
  if (answer === undefined) return away(name, url, why, 'WEAVIATE_URL');
  if (answer.status === 401 || answer.status === 403)
    return fail(name, `${url} refuses the key`, 'Set WEAVIATE_API_KEY to a key that it takes.');
  if (!answer.ok) return fail(name, `${url} answers ${answer.status} and is no Weaviate`, 'Correct WEAVIATE_URL.');
  return ok(name, `${url} answers`);
}

async function askManagement(io: Io, management_url: string, amqp_url: string): Promise<Finding> {
  const name = 'management of RabbitMQ';
  const url = new URL('/api/whoami', management_url);
  const { username, password } = url.username === '' ? new URL(amqp_url) : url;
  const user = username === '' ? 'guest:guest' : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  url.username = '';
  url.password = '';
  const { answer, why } = await ask(io, url, { authorization: `Basic ${Buffer.from(user).toString('base64')}` });
  if (answer === undefined) return away(name, url.origin, why, 'RABBITMQ_MANAGEMENT_URL');
  if (answer.status === 401)
    return fail(
      name,
      `${url.origin} refuses the user`,
      'Correct the user and password of AMQP_URL, and give the user the tag "management".',
    );
  if (!answer.ok)
    return fail(name, `${url.origin} answers ${answer.status} and is no management interface`, 'Correct RABBITMQ_MANAGEMENT_URL.');
  return ok(name, `${url.origin} answers`);
}

/** Whether somebody listens there. A user is not tried: that takes the whole protocol, which a node speaks. */
async function knock({ signal }: Io, amqp_url: string): Promise<Finding> {
  const { protocol, hostname, port } = new URL(amqp_url);
  const at = { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? (AMQP_PORTS[protocol] ?? 5672) : Number(port) };
  const address = `${hostname}:${at.port}`;
  const why = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ ...at, signal });
    socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_WITHIN_MS / 1000} s`)));
    socket.once('connect', () => resolve(undefined));
    socket.once('connect', () => socket.destroy());
    socket.once('error', (error) => resolve(messageOf(error)));
  });
  if (why !== undefined) return away('broker (rabbitmq)', address, why, 'AMQP_URL');
  return ok('broker (rabbitmq)', `somebody listens at ${address}; a node that runs tells whether its user is taken`);
}

function away(name: string, address: string, why: string | undefined, setting: string): Finding {
  const advice = `Start it, or correct ${setting}. A node starts without it, and keeps what is written.`;
  return fail(name, `${address} is not reached: ${why ?? 'it does not answer'}`, advice);
}

async function ask(io: Io, url: URL, headers: Readonly<Record<string, string>> = {}): Promise<{ answer?: Response; why?: string }> {
  try {
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
    const answer = await fetch(url, { headers, signal, redirect: 'manual' });
    await answer.body?.cancel();
    return { answer };
  } catch (error) {
    return { why: error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error) };
  }
}
