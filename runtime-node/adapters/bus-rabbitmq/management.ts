import * as z from 'zod';
import type { Binding } from '../../../shared/contract/profile.ts';
import { BusError, type ExchangeState, type QueueState, type QueueTraffic, type QueueUse } from '../../../shared/ports/event-bus.ts';
import { messageOf } from '../../thrown.ts';
import { toQueueState, toValues } from './arguments.ts';
import { type HttpReadOptions, readJson } from './http-read.ts';

export interface ManagementOptions {
  /** As `http://host:15672`; may hold credentials of its own. */
  readonly url: string;
  readonly vhost: string;
  /** Those of AMQP, where the URL has none. */
  readonly username: string;
  readonly password: string;
  readonly ca?: string;
}

/** All that a virtual host holds. */
export interface Definitions {
  readonly exchanges: readonly ExchangeState[];
  readonly queues: readonly QueueState[];
  readonly bindings: readonly Binding[];
}

/** What the management interface answered that is no answer. Its message says what was found and what to set. */
export class ManagementError extends Error {
  override readonly name = 'ManagementError';
}

const TIMEOUT_MS = 20_000;
const MAX_BYTES = 512 * 1024 * 1024;
const REFUSED = [401, 403];

/** As far back as RabbitMQ keeps the figures of a single queue by default, and how often it takes them, seconds. */
const LATELY_S = 600;
const SAMPLED_EVERY_S = 5;
const NO_RATES = 'this broker keeps no message rates (management.rates_mode, management.disable_stats)';

const Table = z.record(z.string(), z.unknown()).catch({});
const RawQueue = z.object({
  name: z.string(),
  durable: z.boolean(),
  auto_delete: z.boolean(),
  exclusive: z.boolean().optional(),
  arguments: Table,
});
const RawExchange = z.object({
  name: z.string(),
  type: z.string(),
  durable: z.boolean(),
  auto_delete: z.boolean(),
  internal: z.boolean(),
});
const RawBinding = z.object({
  source: z.string(),
  destination: z.string(),
  destination_type: z.string(),
  routing_key: z.string(),
  arguments: Table,
});
const RawDefinitions = z.object({
  queues: z.array(RawQueue),
  exchanges: z.array(RawExchange),
  bindings: z.array(RawBinding),
});
type RawDefinitions = z.infer<typeof RawDefinitions>;

/** A counter, newest first. */
const RawSamples = z.object({ samples: z.array(z.object({ sample: z.number(), timestamp: z.number() })) });
type RawSamples = z.infer<typeof RawSamples>;
const RawStats = z.object({
  publish_details: RawSamples.optional(),
  deliver_get_details: RawSamples.optional(),
  get_empty_details: RawSamples.optional(),
});
/** An object without members comes as an empty list. */
const orEmptyList = <T extends z.ZodType>(schema: T) => z.preprocess((raw) => (Array.isArray(raw) && raw.length === 0 ? {} : raw), schema);
const RawUse = z.object({
  consumers: z.number().catch(0),
  messages_unacknowledged: z.number().optional(),
  // Absent for a queue through which nothing ever went.
  message_stats: orEmptyList(RawStats).optional(),
});
const RawRates = z.object({ rates_mode: z.string().optional(), disable_stats: z.boolean().optional() });

/** The management interface of RabbitMQ (https://www.rabbitmq.com/docs/management), as far as it tells what exists. */
export class Management {
  readonly #base: URL;
  readonly #vhost: string;
  readonly #options: HttpReadOptions;
  /** Definitions are for administrators; lists are for every user of the interface. */
  #lists = false;
  #cluster: string | undefined;
  #keepsRates: boolean | undefined;

  /** Throws `BusError` `failed` when the URL is none. */
  constructor({ url, vhost, username, password, ca }: ManagementOptions) {
    const base = URL.canParse(url) ? new URL(url) : undefined;
    if (base === undefined || !/^https?:$/.test(base.protocol)) {
      throw new BusError('failed', 'The address of the management interface (RABBITMQ_MANAGEMENT_URL) must look like http://HOST:15672');
    }
    const own = base.username === '' ? { username, password } : { username: plain(base.username), password: plain(base.password) };
    base.username = '';
    base.password = '';
    this.#base = base;
    this.#vhost = encodeURIComponent(vhost);
    this.#options = { ...own, timeout_ms: TIMEOUT_MS, max_bytes: MAX_BYTES, ...(ca === undefined ? {} : { ca }) };
  }

  /**
   * Everything in one read; in three, side by side, where the user is no administrator. `cluster` is the name that the
   * broker gave over AMQP: an interface of another broker is refused. Rejects with `ManagementError`.
   */
  async read(cluster: string | undefined): Promise<Definitions> {
    await this.#sameBroker(cluster);
    const raw = this.#lists ? undefined : await this.#get(`definitions/${this.#vhost}`, RawDefinitions);
    this.#lists ||= raw === undefined;
    return toDefinitions(raw ?? (await this.#readLists()));
  }

  /** What it knows of one queue, up to some seconds old. Rejects with `ManagementError`, also where it knows no such queue. */
  async readUse(cluster: string | undefined, queue: string): Promise<QueueUse> {
    await this.#sameBroker(cluster);
    this.#keepsRates ??= await this.#readRates();
    const columns = ['publish', 'deliver_get', 'get_empty'].map((name) => `message_stats.${name}_details`).join(',');
    const span = `msg_rates_age=${LATELY_S}&msg_rates_incr=${SAMPLED_EVERY_S}`;
    const path = `queues/${this.#vhost}/${encodeURIComponent(queue)}?columns=consumers,messages_unacknowledged,${columns}&${span}`;
    const raw = await this.#get(path, orEmptyList(RawUse));
    if (raw === undefined) throw this.#refused();
    const { consumers, messages_unacknowledged: unacked, message_stats = {} } = raw;
    return {
      consumers,
      ...(unacked === undefined ? {} : { unacked }),
      ...(this.#keepsRates ? { lately: toTraffic(message_stats) } : { unread: NO_RATES }),
    };
  }

  async #readRates(): Promise<boolean> {
    const told = await this.#get('overview?columns=rates_mode,disable_stats', RawRates);
    if (told === undefined) throw this.#refused();
    return told.rates_mode !== 'none' && told.disable_stats !== true;
  }

  async #sameBroker(cluster: string | undefined): Promise<void> {
    if (cluster === undefined || this.#cluster === cluster) return;
    const told = await this.#get('overview?columns=cluster_name', z.object({ cluster_name: z.string().optional() }));
    if (told === undefined) throw this.#refused();
    if (told.cluster_name !== undefined && told.cluster_name !== cluster) {
      throw this.#wrong(`it belongs to the broker ${told.cluster_name}, and AMQP_URL leads to ${cluster}`);
    }
    this.#cluster = cluster;
  }

  async #readLists(): Promise<RawDefinitions> {
    const flags = 'name,type,durable,auto_delete,internal,exclusive,arguments';
    const [exchanges, queues, bindings] = await Promise.all([
      this.#get(`exchanges/${this.#vhost}?columns=${flags}`, z.array(RawExchange)),
      this.#get(`queues/${this.#vhost}?columns=${flags}&disable_stats=true`, z.array(RawQueue)),
      this.#get(`bindings/${this.#vhost}`, z.array(RawBinding)),
    ]);
    if (exchanges === undefined || queues === undefined || bindings === undefined) throw this.#refused();
    return { exchanges, queues, bindings };
  }

  /** Undefined where the user may not read it. */
  async #get<T>(path: string, shape: z.ZodType<T>): Promise<T | undefined> {
    const url = new URL(this.#base);
    const [file = '', query = ''] = path.split('?');
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/${file}`;
    url.search = query;
    const { status, body } = await readJson(url, this.#options).catch((error: unknown) => {
      throw this.#wrong(messageOf(error));
    });
    if (REFUSED.includes(status)) return undefined;
    if (status !== 200) throw this.#wrong(`it answers ${status}`);
    const parsed = shape.safeParse(body);
    if (!parsed.success) throw this.#wrong('it does not answer as RabbitMQ does');
    return parsed.data;
  }

  #refused(): ManagementError {
    return this.#wrong(`it refuses the user ${this.#options.username}: give that user the tag "management" (rabbitmqctl set_user_tags)`);
  }

  #wrong(why: string): ManagementError {
    return new ManagementError(`The management interface at ${this.#base.origin} (RABBITMQ_MANAGEMENT_URL) can't be read: ${why}`);
  }
}

function toDefinitions({ exchanges, queues, bindings }: RawDefinitions): Definitions {
  return {
    exchanges: exchanges.map(toExchangeState),
    queues: queues.map(toQueueState),
    bindings: bindings
      .filter(({ destination_type }) => destination_type === 'queue')
      .map(({ source, destination, routing_key, arguments: values }) => ({
        exchange: source,
        queue: destination,
        key: routing_key,
        arguments: toValues(values),
      })),
  };
}

function toTraffic({ publish_details, deliver_get_details, get_empty_details }: z.infer<typeof RawStats>): QueueTraffic {
  return {
    seconds: LATELY_S,
    came: grownBy(publish_details),
    taken: grownBy(deliver_get_details),
    asked_in_vain: grownBy(get_empty_details),
  };
}

function grownBy({ samples }: RawSamples = { samples: [] }): number {
  const counts = samples.map(({ sample }) => sample);
  return counts.length === 0 ? 0 : Math.max(...counts) - Math.min(...counts);
}

function toExchangeState({ name, type, durable, auto_delete, internal }: z.infer<typeof RawExchange>): ExchangeState {
  const differs = [...(durable ? [] : ['not durable']), ...(auto_delete ? ['auto-delete'] : []), ...(internal ? ['internal'] : [])];
  return { name, type, ...(differs.length === 0 ? {} : { differs }) };
}

function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
