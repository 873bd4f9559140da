import type { ChannelModel } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError } from '../../../shared/ports/event-bus.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { messageOf } from '../../thrown.ts';
import type { BrokerAddress } from './address.ts';
import { dial } from './dial.ts';

export interface LinkOptions {
  readonly address: BrokerAddress;
  readonly ca?: string;
  /** What the broker's own tools show for this connection. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const CONNECT_LIMIT_MS = 10_000;
/** Two of them without a sign of life end a connection. */
const HEARTBEAT_S = 10;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** Who asks gets an attempt of his own where the last one failed longer ago than this. */
const FRESH_MS = 1000;
const CLOSE_LIMIT_MS = 3000;

/**
 * One connection to the broker, opened when it is first asked for, and from then on opened again whenever it is lost,
 * after pauses of 100 ms to 10 s that double and are spread by chance.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #opened = new Set<() => void>();
  readonly #closing = new AbortController();
  #model: ChannelModel | undefined;
  #dialing: Promise<ChannelModel> | undefined;
  #failure: { readonly error: Error; readonly at: number } | undefined;
  #failures = 0;
  #retrying = false;
  #blocked: string | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Why the broker takes no messages on this connection at present; undefined while it does. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Calls `listener` each time that the connection is there again, or for the first time. Answers with what ends that. */
  onOpen(listener: () => void): () => void {
    this.#opened.add(listener);
    return () => this.#opened.delete(listener);
  }

  /** The open connection. Rejects with `backend_away` or `unauthorized` where there is none and none can be had now. */
  async model(): Promise<ChannelModel> {
    if (this.#closing.signal.aborted) throw new BusError('failed', `The bus ${this.#options.address.identity} is closed`);
    if (this.#model !== undefined) return this.#model;
    const recent = this.#failure !== undefined && this.#options.clock.monotonic() - this.#failure.at < FRESH_MS;
    if (this.#dialing === undefined && recent && this.#failure !== undefined) throw this.#failure.error;
    return await this.#dial();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const over = new AbortController();
    // A broker that takes the connection and says nothing holds up a stop no longer than one that does not hang up.
    await Promise.race([this.#end(), this.#options.clock.sleep(CLOSE_LIMIT_MS, over.signal)]);
    over.abort();
  }

  async #end(): Promise<void> {
    const model = this.#model ?? (await this.#dialing?.catch(() => undefined));
    await model?.close().catch(() => {});
  }

  #dial(): Promise<ChannelModel> {
    this.#dialing ??= this.#attempt().finally(() => {
      this.#dialing = undefined;
    });
    return this.#dialing;
  }

  async #attempt(): Promise<ChannelModel> {
    const { address, clock, log, name, ca } = this.#options;
    try {
      const limits = { timeout_ms: CONNECT_LIMIT_MS, heartbeat_s: HEARTBEAT_S };
      const model = await dial({ address, name, ...limits, ...(ca === undefined ? {} : { ca }) });
      this.#watch(model);
      if (this.#failures > 0) log.info('RabbitMQ is there again', { backend: address.identity, connection: name });
      this.#failures = 0;
      this.#failure = undefined;
      return model;
    } catch (error) {
      this.#failures += 1;
      this.#failure = { error: error instanceof Error ? error : new Error(messageOf(error)), at: clock.monotonic() };
      if (this.#failures === 1) log.warn('RabbitMQ is away', { backend: address.identity, error: messageOf(error) });
      this.#retryLater();
      throw error;
    }
  }

  #watch(model: ChannelModel): void {
    this.#model = model;
    const { address, log, name } = this.#options;
    // What goes wrong is told by `close`, which follows; without a listener it would end the process.
    let reason: Error | undefined;
    model.on('error', (error) => {
      reason = error;
    });
    model.on('close', (error) => {
      this.#model = undefined;
      this.#blocked = undefined;
      if (this.#closing.signal.aborted) return;
      this.#failures += 1;
      log.warn('The connection to RabbitMQ was lost', {
        backend: address.identity,
        connection: name,
        error: messageOf(error ?? reason ?? 'closed'),
      });
      this.#retryLater();
    });
    model.on('blocked', (why) => {
      this.#blocked = why;
      log.warn('RabbitMQ takes no messages at present', { backend: address.identity, connection: name, reason: why });
    });
    model.on('unblocked', () => {
      this.#blocked = undefined;
      log.info('RabbitMQ takes messages again', { backend: address.identity, connection: name });
    });
    for (const listener of [...this.#opened]) listener();
  }

  #retryLater(): void {
    if (this.#retrying || this.#closing.signal.aborted) return;
    this.#retrying = true;
    const { clock, random } = this.#options;
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures - 1, 10)) * (0.5 + random.next() / 2);
    void clock.sleep(pause, this.#closing.signal).then(() => {
      this.#retrying = false;
      // A failure asks for the next attempt by itself.
      if (!this.#closing.signal.aborted && this.#model === undefined) this.#dial().catch(() => {});
    });
  }
}
