import type { BacklogStatus } from '../../contract/backlog.ts';
import type { Binding, Exchange, Queue } from '../../contract/profile.ts';
import type { Target } from '../../ports/backlog.ts';
import {
  type BusBackend,
  type BusCapabilities,
  BusError,
  type Consumer,
  type Delivery,
  type EmbeddedBus,
  type EventBus,
  type OutgoingMessage,
  type QueueUse,
  type ReceiveOptions,
  type RemoveQueueOptions,
  type Topology,
  type TopologyNames,
} from '../../ports/event-bus.ts';
import { busConflicts } from './bus-conflicts.ts';
import { ForwardConsumer } from './bus-consumer.ts';
import { type Declaration, Declarations, declareIn } from './bus-declarations.ts';
import { Environment } from './bus-environment.ts';
import { Forwarder } from './bus-forwarder.ts';
import { PublishGate } from './bus-gate.ts';
import { Keeper, MAX_HELD } from './bus-keeper.ts';
import { isReserved, refuseReserved, unmarked } from './bus-message.ts';
import { Passages } from './bus-passage.ts';
import { receive } from './bus-receiver.ts';
import type { ConflictDesk } from './conflict-desk.ts';
import { NO_OTHERS } from './other-externals.ts';
import { createPresence, type Presence } from './presence.ts';
import type { FallForward, ForwardDeps } from './types.ts';

export interface ForwardBusDeps extends ForwardDeps<EventBus> {
  readonly fallback: EmbeddedBus;
  /** Messages that no queue here is bound for and that wait all the same, over all exchanges. Default 100000. */
  readonly max_held?: number;
}

/**
 * The event bus on an external broker, with the embedded bus in its place while the broker is away.
 *
 * - While the broker is away, and until all that waits has gone over, each publish is kept in the queues of the embedded
 *   bus; `routed` is what it says. One that it routes nowhere is kept too, and published to its exchange later;
 *   `full` when `max_held` of those wait. A publish that finds the broker gone is kept in the same call.
 * - What waits goes over in the order of its queue, with the same `message_id`, confirmed before it is settled here. What
 *   may have arrived when the line was lost goes once more: at least once, as with any publish that is repeated.
 * - Before anything goes over, the broker has to have what is declared here, as far as somebody's profile still wants it:
 *   it is waited for until `wake` says that it was brought to the profile, or for a minute.
 * - `receive` and consumers get what waits here while the broker is away. What they settle is done and never goes over.
 *   With nothing here `receive` rejects with `backend_away`, after its `wait_ms`.
 * - What is declared while the broker is away goes over before the messages do.
 * - `queueStats`, `queueUse`, `readTopology` and removals are the broker's, and reject with `backend_away` without it; until all has
 *   gone over `queueStats` counts what waits here too.
 *
 * `close` of the port closes both buses.
 */
export function createForwardBus(deps: ForwardBusDeps): FallForward<EventBus> {
  return new ForwardBus(deps);
}

class ForwardBus implements FallForward<EventBus>, EventBus {
  readonly backend: BusBackend;
  readonly capabilities: BusCapabilities;
  readonly external: EventBus;
  readonly fallback: EmbeddedBus;
  readonly #deps: ForwardBusDeps;
  readonly #name: string;
  readonly #target: Target;
  readonly #presence: Presence;
  readonly #gate: PublishGate;
  readonly #keeper: Keeper;
  readonly #environment: Environment;
  readonly #declarations: Declarations;
  readonly #forwarder: Forwarder;
  readonly conflicts: ConflictDesk;
  readonly others = NO_OTHERS;
  readonly #listeners = new Set<() => void>();
  readonly #consumers = new Set<Consumer>();
  #declared = { waiting: 0, forwarded: 0, conflicts: 0 };

  constructor(deps: ForwardBusDeps) {
    const { external, fallback, backlog, clock, random, log } = deps;
    this.#deps = deps;
    this.external = external;
    this.fallback = fallback;
    this.backend = external.backend;
    this.capabilities = external.capabilities;
    this.#name = `broker (${external.backend.kind} at ${external.backend.identity})`;
    this.#target = { component: 'broker', identity: external.backend.identity };
    this.#presence = createPresence({
      clock,
      random,
      log,
      name: this.#name,
      probe: () => this.#probe(),
      isAway,
      forward: (signal) => this.#forward(signal),
      changed: () => this.#moved(),
    });
    this.#gate = new PublishGate(() => this.#presence.state === 'away');
    this.#keeper = new Keeper(fallback, deps.max_held ?? MAX_HELD);
    this.#environment = new Environment({ external, fallback, clock, log, name: this.#name });
    const refused = (message: string) => this.#conflict(message);
    this.#declarations = new Declarations({ external, backlog, target: this.#target, refused });
    const passages = new Passages(external);
    this.conflicts = busConflicts({
      ...{ external, fallback, backlog, target: this.#target, name: this.#name, passages, environment: this.#environment },
      ask: (work) => this.#ask(work),
      ended: () => this.#count(),
    });
    this.#forwarder = new Forwarder({
      ...{ external, fallback, passages, refused },
      presence: () => this.#presence,
      gate: this.#gate,
      keeper: this.#keeper,
      environment: this.#environment,
      declarations: this.#declarations,
    });
  }

  get port(): EventBus {
    return this;
  }

  status(): BacklogStatus {
    const { waiting, forwarded, conflicts } = this.#forwarder.counts;
    const { reason } = this.#presence;
    return {
      presence: this.#presence.state,
      ...(reason === undefined ? {} : { reason }),
      waiting: waiting + this.#declared.waiting,
      forwarded: forwarded + this.#declared.forwarded,
      conflicts: conflicts + this.#declared.conflicts,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#count().catch((error: unknown) => this.#deps.log.warn(`${this.#name}: what waits could not be counted: ${error}`));
    await this.#presence.run(signal);
  }

  wake(): void {
    this.#environment.applied();
    this.#presence.wake();
  }

  readTopology(wanted: TopologyNames): Promise<Topology> {
    return this.#presence.call(() => this.external.readTopology(wanted));
  }

  ensureExchange(item: Exchange): Promise<void> {
    return this.#declare({ kind: 'exchange', item });
  }

  ensureQueue(item: Queue): Promise<void> {
    return this.#declare({ kind: 'queue', item });
  }

  ensureBinding(item: Binding): Promise<void> {
    return this.#declare({ kind: 'binding', item });
  }

  async removeQueue(queue: string, options?: RemoveQueueOptions): Promise<void> {
    await this.#presence.call(() => this.external.removeQueue(queue, options));
    await this.#removeHere(() => this.fallback.removeQueue(queue, { if_empty: true }));
  }

  async removeExchange(exchange: string): Promise<void> {
    await this.#presence.call(() => this.external.removeExchange(exchange));
    await this.#removeHere(() => this.fallback.removeExchange(exchange));
  }

  async removeBinding(binding: Binding): Promise<void> {
    await this.#presence.call(() => this.external.removeBinding(binding));
    await this.#removeHere(() => this.fallback.removeBinding(binding));
  }

  /** The embedded bus answers after its commit, and the broker is asked for confirms whenever it comes back. */
  async ensureConfirms(): Promise<void> {
    if (this.#presence.state === 'away') return;
    await this.#presence.call(() => this.external.ensureConfirms()).catch(ignoreAway);
  }

  async publish(message: OutgoingMessage): Promise<{ routed: boolean }> {
    if (isReserved(message.exchange)) throw new BusError('no_such_exchange', `There is no exchange ${message.exchange}`);
    // The caller may reuse its buffer while the message changes sides.
    const own = { ...message, body: message.body.slice() };
    return await this.#gate.publish(
      () => this.#over(own),
      () => this.#keep(own),
    );
  }

  async receive(queue: string, options: ReceiveOptions = {}): Promise<Delivery[]> {
    refuseReserved(queue);
    const { clock } = this.#deps;
    return await receive({ ...this.#sides(), clock, away: (what) => this.#away(what) }, queue, options);
  }

  async ack(queue: string, token: string): Promise<void> {
    refuseReserved(queue);
    const delivery = unmarked(queue, token);
    if (delivery.side === 'external') return await this.#presence.call(() => this.external.ack(queue, delivery.token));
    await this.fallback.ack(queue, delivery.token);
    this.#settled();
  }

  async reject(queue: string, token: string, options: { requeue: boolean }): Promise<void> {
    refuseReserved(queue);
    const delivery = unmarked(queue, token);
    if (delivery.side === 'external') return await this.#presence.call(() => this.external.reject(queue, delivery.token, options));
    await this.fallback.reject(queue, delivery.token, options);
    this.#goOn();
  }

  async consume(queue: string, handler: (delivery: Delivery) => Promise<void>, options: { prefetch?: number } = {}): Promise<Consumer> {
    refuseReserved(queue);
    const { clock, log } = this.#deps;
    const inner = new ForwardConsumer({ ...this.#sides(), clock, log, queue, handler, options, settled: () => this.#settled() });
    await inner.start();
    const consumer: Consumer = { stop: () => inner.stop().finally(() => this.#consumers.delete(consumer)) };
    this.#consumers.add(consumer);
    return consumer;
  }

  async queueStats(queue: string): Promise<{ ready: number; unacked: number }> {
    refuseReserved(queue);
    const there = await this.#presence.call(() => this.external.queueStats(queue));
    if (this.#gate.isOver) return there;
    const here = (await this.fallback.holdings()).find((holding) => holding.queue === queue);
    return { ready: there.ready + (here?.ready ?? 0), unacked: there.unacked + (here?.unacked ?? 0) };
  }

  async queueUse(queue: string): Promise<QueueUse> {
    refuseReserved(queue);
    return await this.#presence.call(() => this.external.queueUse(queue));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await Promise.all([this.external.close(), this.fallback.close()]);
  }

  /** A message was settled here: the last one may have held up the change to the broker. */
  #settled(): void {
    this.#forwarder.settled();
    this.#goOn();
  }

  /** A round at once; but where the last one met an error the pause after it stays, so that many messages are not as many tries. */
  #goOn(): void {
    if (this.#presence.reason === undefined) this.#presence.wake();
    else this.#presence.grown();
  }

  #sides() {
    return {
      external: this.external,
      fallback: this.fallback,
      presence: this.#presence,
      changed: (signal: AbortSignal) => this.#changed(signal),
    };
  }

  /** Undefined where the broker did not take it. */
  async #over(message: OutgoingMessage): Promise<{ routed: boolean } | undefined> {
    try {
      return await this.#presence.call(() => this.external.publish(message));
    } catch (error) {
      if (!isAway(error)) throw error;
      return undefined;
    }
  }

  async #keep(message: OutgoingMessage): Promise<{ routed: boolean }> {
    try {
      const answer = await this.#keeper.keep(message);
      this.#forwarder.kept();
      this.#goOn();
      return answer;
    } catch (error) {
      // Nobody declared it here: what is of the broker's own is its alone to say.
      if (!(error instanceof BusError && error.kind === 'no_such_exchange')) throw error;
      const answer = this.#presence.state === 'away' ? undefined : await this.#over(message);
      if (answer !== undefined) return answer;
      throw this.#away(`exchange ${message.exchange} is not declared here`);
    }
  }

  /** The broker first: what it refuses is refused, and changes nothing here. */
  async #declare(declaration: Declaration): Promise<void> {
    const { kind, item } = declaration;
    if ('name' in item ? isReserved(item.name) : isReserved(item.exchange) || isReserved(item.queue))
      throw new BusError(
        'bad_name',
        `The ${kind} can't have a name that bootplane uses itself: ${'name' in item ? item.name : item.queue}`,
      );
    const isThere = this.#presence.state !== 'away' && (await this.#declareThere(declaration));
    try {
      await declareIn(this.fallback, declaration);
    } catch (error) {
      // It stands as it was declared before, which serves while the broker is away.
      if (!isThere || !(error instanceof BusError) || error.kind === 'full' || error.kind === 'failed') throw error;
      this.#deps.log.warn(`${this.#name}: a ${kind} is another one in the embedded default`, { error: error.message });
    }
    if (isThere) return;
    await this.#declarations.keep(declaration);
    this.#environment.lookAgain();
    this.#declared.waiting += 1;
    this.#goOn();
  }

  /** False where the broker is away. */
  async #declareThere(declaration: Declaration): Promise<boolean> {
    try {
      await this.#presence.call(() => declareIn(this.external, declaration));
      return true;
    } catch (error) {
      if (!isAway(error)) throw error;
      return false;
    }
  }

  /** What still holds something here stays until it went over. */
  async #removeHere(remove: () => Promise<void>): Promise<void> {
    await remove().catch((error: unknown) => {
      if (!(error instanceof BusError)) throw error;
      this.#deps.log.debug(`${this.#name}: the embedded default keeps what was removed`, { error: error.message });
    });
  }

  async #probe(): Promise<void> {
    try {
      await this.external.ensureConfirms();
    } catch (error) {
      await this.#count();
      throw error;
    }
  }

  async #forward(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#forwarder.forward(signal);
    } finally {
      this.#declared = await this.#deps.backlog.counts(this.#target);
    }
  }

  async #count(): Promise<void> {
    await this.#forwarder.look();
    this.#declared = await this.#deps.backlog.counts(this.#target);
  }

  /** Of what only the broker can do. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    if (this.#presence.state === 'away') throw this.#away('It is the broker that has to take it');
    return await this.#presence.call(work);
  }

  #moved(): void {
    const { state, reason } = this.#presence;
    if (state === 'away') this.#environment.forget();
    for (const listener of [...this.#listeners]) listener();
    this.#deps.tell?.({ kind: 'moved', message: `${this.#name} is ${state}${reason === undefined ? '' : `: ${reason}`}` });
  }

  #conflict(message: string): void {
    this.#deps.log.warn(`${this.#name}: ${message}`);
    this.#deps.tell?.({ kind: 'conflict', message: `${this.#name}: ${message}` });
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#listeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#listeners.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #away(what: string): BusError {
    const { state, reason } = this.#presence;
    const why = state === 'away' ? `is away: ${reason ?? ''}` : 'does not have it yet';
    return new BusError('backend_away', `${what}, and ${this.#name} ${why}`);
  }
}

function isAway(error: unknown): boolean {
  return error instanceof BusError && error.kind === 'backend_away';
}

function ignoreAway(error: unknown): void {
  if (!isAway(error)) throw error;
}
