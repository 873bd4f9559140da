import type { Binding, BusValue, Exchange, Queue, QueueType } from '../contract/profile.ts';

/**
 * Messaging with the semantics of AMQP 0-9-1 as RabbitMQ gives them: durable exchanges and queues,
 * bindings, publisher confirms, at-least-once delivery.
 * Default: in process, on SQLite. Each method may reject with `BusError`.
 */
export interface EventBus {
  readonly backend: BusBackend;
  readonly capabilities: BusCapabilities;

  /** The state of what `wanted` names, as far as it exists. One call, however many names. */
  readTopology(wanted: TopologyNames): Promise<Topology>;
  /** Declares a durable exchange. `incompatible` when it exists with another type. */
  ensureExchange(exchange: Exchange): Promise<void>;
  /**
   * Declares a durable queue. `incompatible` when it exists with other arguments, but for
   * `ttl_ms` where `capabilities.alter_ttl` says that it can be changed.
   */
  ensureQueue(queue: Queue): Promise<void>;
  /** Binds; the same binding twice is one. */
  ensureBinding(binding: Binding): Promise<void>;
  /**
   * Removes a queue with its bindings and messages; one that is not there is no error. With `if_empty` one that holds
   * messages, ready or handed out as far as `queueStats` tells, is refused (`not_empty`); see `capabilities.removes_if_empty`. With `if_unused`
   * one that anybody consumes from is refused (`in_use`). Who waits in `receive`, or receives later, gets `no_such_queue`.
   */
  removeQueue(queue: string, options?: RemoveQueueOptions): Promise<void>;
  /**
   * Removes an exchange that nothing is bound to; one that is not there is no error. Whatever is still bound to it, also by
   * others, refuses it (`in_use`): remove the own bindings first. The broker's own exchanges are `bad_name`.
   */
  removeExchange(exchange: string): Promise<void>;
  /** Removes exactly this binding: same exchange, queue, key and arguments. It, its queue or its exchange absent is no error. */
  removeBinding(binding: Binding): Promise<void>;
  /** Turns publisher confirms on for what this process publishes from now on. */
  ensureConfirms(): Promise<void>;

  /**
   * Resolves when the message is durably in every queue it was routed to. A second publish with the
   * same `message_id` to the same exchange, within the window that the backend keeps, is stored once
   * where `capabilities.deduplicates` says so. The exchange "" leads to the queue that the key names.
   */
  publish(message: OutgoingMessage): Promise<{ routed: boolean }>;
  /**
   * Takes up to `limit` messages, waiting up to `wait_ms` for the first. Each is hidden from others
   * until it is settled or `visibility_ms` has passed, then it is delivered again with `redelivered`.
   */
  receive(queue: string, options?: ReceiveOptions): Promise<Delivery[]>;
  /** Settles a delivery: it is gone for good. `unknown_delivery` when it was settled or had run out. */
  ack(queue: string, token: string): Promise<void>;
  /** Puts it back (`requeue: true`) or drops it, dead-lettering where the queue has a `dlx`. */
  reject(queue: string, token: string, options: { requeue: boolean }): Promise<void>;
  /** Calls `handler` for each message; acks when it resolves, requeues when it rejects. */
  consume(queue: string, handler: (delivery: Delivery) => Promise<void>, options?: { prefetch?: number }): Promise<Consumer>;
  /** `unacked` counts what is handed out and not settled; see `capabilities.counts_all_unacked`. */
  queueStats(queue: string): Promise<{ ready: number; unacked: number }>;
  /** Who uses a queue, as far as the backend tells. What it tells may be some seconds old. */
  queueUse(queue: string): Promise<QueueUse>;
  close(): Promise<void>;
}

/** A bus that holds its queues itself, and so can tell all of them without being given their names. */
export interface EmbeddedBus extends EventBus {
  /** All that was declared, whoever did. */
  declared(): Promise<Declared>;
  /** The queues that hold anything, ready or handed out. */
  holdings(): Promise<Holding[]>;
}

export interface Declared {
  readonly exchanges: readonly Exchange[];
  readonly queues: readonly Queue[];
  readonly bindings: readonly Binding[];
}

export interface Holding {
  readonly queue: string;
  readonly ready: number;
  readonly unacked: number;
}

export interface BusBackend {
  readonly kind: 'local' | 'rabbitmq';
  readonly identity: string;
}

export interface BusCapabilities {
  /** An existing queue's message TTL can be changed. */
  readonly alter_ttl: boolean;
  /** A repeated `message_id` is stored once. */
  readonly deduplicates: boolean;
  /** Queue types that can be declared. */
  readonly queue_types: readonly QueueType[];
  /**
   * Types of queues that the backend itself refuses to remove while a message is ready. Others are looked at just before: what
   * arrives in between goes with the queue.
   */
  readonly removes_if_empty: readonly QueueType[];
  /** Several nodes see the same queues. */
  readonly shared: boolean;
  /** How many declarations may usefully be under way at once, 1 or more. */
  readonly concurrent_declarations: number;
  /** `queueStats` counts what every process holds; without it only what this one does. */
  readonly counts_all_unacked: boolean;
}

/** Who uses a queue. A client that asks for messages one by one (`basic.get`) is no consumer: only what it did lately shows it. */
export interface QueueUse {
  /** Attached now. Such a queue is `in_use`. */
  readonly consumers: number;
  /** What all processes hold and have not settled. Absent where that can't be told. */
  readonly unacked?: number;
  /** Absent where that can't be told. */
  readonly lately?: QueueTraffic;
  /** Why something above is absent, in words for people. */
  readonly unread?: string;
}

/** What went through a queue within the last `seconds`. A backend that has just started knows only what came since. */
export interface QueueTraffic {
  readonly seconds: number;
  /** Messages that were routed into it. */
  readonly came: number;
  /** Messages that were handed out, each time they were. */
  readonly taken: number;
  /** How often somebody asked for a message and there was none. */
  readonly asked_in_vain: number;
}

export interface TopologyNames {
  readonly exchanges: readonly string[];
  readonly queues: readonly string[];
  readonly bindings: readonly Binding[];
}

export interface Topology {
  readonly exchanges: readonly ExchangeState[];
  readonly queues: readonly QueueState[];
  readonly bindings: readonly Binding[];
  readonly confirms: boolean;
  /** Why a binding that is missing from `bindings` may exist all the same; absent where all of them were read. */
  readonly bindings_unread?: string;
}

/** How an item that exists stands apart from what a profile can describe. */
export interface StateNotes {
  /** What a declaration would stumble over, in words for people, as `not durable`. */
  readonly differs?: readonly string[];
  /**
   * Why no more than its existence could be read; the other fields then mean nothing. Declaring it again compares it:
   * nothing changes where it is the same, and `incompatible` says where it is not.
   */
  readonly unread?: string;
}

/** `type` may be one that a profile cannot name. */
export interface ExchangeState extends Omit<Exchange, 'type'>, StateNotes {
  readonly type: string;
}

export interface QueueState extends Omit<Queue, 'type'>, StateNotes {
  readonly type: string;
}

export interface RemoveQueueOptions {
  readonly if_empty?: boolean;
  readonly if_unused?: boolean;
}

export interface OutgoingMessage {
  readonly exchange: string;
  readonly key: string;
  readonly body: Uint8Array;
  /** The idempotency key. */
  readonly message_id: string;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, BusValue>>;
}

export interface ReceiveOptions {
  /** 1 to 1000, default 1. */
  readonly limit?: number;
  /** Default 0. */
  readonly wait_ms?: number;
  /** Default 30000. */
  readonly visibility_ms?: number;
  /** Ends the wait: then it resolves with what was taken by then, mostly nothing. */
  readonly signal?: AbortSignal;
}

export interface Delivery extends Required<Omit<OutgoingMessage, 'content_type'>> {
  readonly content_type?: string;
  readonly queue: string;
  /** Names this delivery to `ack` and `reject`. */
  readonly token: string;
  readonly redelivered: boolean;
}

export interface Consumer {
  /** Stops taking messages and waits for the handlers under way. */
  stop(): Promise<void>;
}

export type BusErrorKind =
  | 'no_such_exchange'
  | 'no_such_queue'
  | 'incompatible'
  | 'not_empty'
  | 'in_use'
  | 'unsupported'
  | 'unknown_delivery'
  | 'bad_name'
  | 'full'
  | 'backend_away'
  | 'unauthorized'
  | 'failed';

export class BusError extends Error {
  readonly kind: BusErrorKind;
  constructor(kind: BusErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BusError';
    this.kind = kind;
  }
}
