import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { createOverlay } from '../../../runtime-node/overlay.ts';
import { OVERLAY } from '../../../shared/contract/data.ts';
import type { Database } from '../../../shared/ports/database.ts';
import type { EventBus } from '../../../shared/ports/event-bus.ts';
import { createHub } from '../../../shared/supervisor/hub.ts';
import { createMetrics } from '../../../shared/supervisor/metrics.ts';
import { createOutbox, type Outbox } from '../../../shared/supervisor/outbox.ts';
import { createEventStore, type NewEvent } from '../../../shared/supervisor/store/events.ts';
import { createOutboxStore, type OutboxLimits } from '../../../shared/supervisor/store/outbox.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { type MemoryEventBus, memoryEventBus } from '../../support/memory-event-bus.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const FLEET = 'default';
const QUEUE = 'everything';

/** What came out of the bus, in order. */
export interface Heard {
  readonly key: string;
  readonly message_id: string;
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on the shape of what came
  readonly body: any;
}

/** What becomes of a call: it fails, it is done and its answer is lost, there is no answer ever, or all is well. */
export type Fault = undefined | Error | { readonly lost: Error } | 'never';

export interface Faults {
  bus(method: 'ensureExchange' | 'publish'): Fault;
  database(): Fault;
}

/** No event is too old. */
export const FOREVER_MS = Number.MAX_SAFE_INTEGER;

/** A database with an event log and a bus that outlive the processes which relay from one to the other. */
export class OutboxWorld {
  readonly clock = new SimulatedClock();
  readonly log = recordingLog();
  readonly metrics = createMetrics();
  /** A broker: it stores what is repeated once more. */
  readonly bus: MemoryEventBus = memoryEventBus(this.clock, { deduplicates: false });
  readonly database = openSqlite({ path: ':memory:', clock: this.clock, migrations });
  readonly faults: Faults = { bus: () => undefined, database: () => undefined };
  readonly #events = createEventStore(this.database);
  readonly #limits: OutboxLimits;
  #hub = createHub();
  #life: { stop: AbortController; crash: AbortController; outbox: Outbox; ended: Promise<void> } | undefined;
  #written = 0;

  constructor(limits: Omit<OutboxLimits, 'kept_ms'> & { kept_ms?: number } = { kept: 10_000, waiting: 100_000 }) {
    this.#limits = { kept_ms: FOREVER_MS, ...limits };
  }

  /** How many events were committed. */
  get written(): number {
    return this.#written;
  }

  get outbox(): Outbox {
    if (this.#life === undefined) throw new Error('no process runs');
    return this.#life.outbox;
  }

  /** Somebody who wants all that is on the overlay. */
  async listen(): Promise<void> {
    await this.bus.ensureExchange({ name: OVERLAY, type: 'topic' });
    await this.bus.ensureQueue({ name: QUEUE, type: 'classic', arguments: {} });
    await this.bus.ensureBinding({ exchange: OVERLAY, queue: QUEUE, key: '#', arguments: {} });
  }

  /** A process of the node starts on this database. */
  boot(): void {
    const [stop, crash] = [new AbortController(), new AbortController()];
    this.#hub = createHub();
    const { clock, log, metrics } = this;
    const database = dying(this.#failingDatabase(), crash.signal);
    const outbox = createOutbox({
      fleet: FLEET,
      overlay: createOverlay({ bus: dying(this.#failingBus(), crash.signal), log }),
      store: createOutboxStore(database, this.#limits),
      events: createEventStore(database),
      hub: this.#hub,
      metrics,
      clock,
      random: seededRandom(),
      log,
    });
    this.#life = { stop, crash, outbox, ended: outbox.run(stop.signal) };
  }

  /** It dies at once: what it was waiting for never comes, and what it still does has no effect. */
  crash(): void {
    this.#life?.crash.abort();
    this.#life?.stop.abort();
    this.#life = undefined;
  }

  /** It ends in order: the loop first, then what is left. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    life.stop.abort();
    await life.ended;
    const flushed = life.outbox.flush(2000);
    await this.clock.advance(2000);
    await flushed;
    this.crash();
  }

  /** An event is committed, as the Supervisor does it. */
  async write(event: Partial<NewEvent> = {}): Promise<void> {
    this.#written += 1;
    const whole: NewEvent = { fleet: FLEET, type: 'overlay.register', site: 's', data: {}, dedupe: `event/${this.#written}`, ...event };
    await this.database.batch([this.#events.append(whole)]);
    this.#hub.wake(FLEET);
  }

  /** The database was set aside, and an empty one took its place. */
  async forget(): Promise<void> {
    await this.database.batch(['events', 'outbox'].map((table) => ({ sql: `delete from ${table}`, params: [] })));
  }

  async close(): Promise<void> {
    this.crash();
    await this.database.close();
  }

  /** The cursors and names of the log. */
  async logged(): Promise<{ seq: number; dedupe: string }[]> {
    const [rows = []] = await this.database.batch([{ sql: 'select seq, dedupe from events order by seq', params: [] }]);
    return rows.map(({ seq, dedupe }) => ({ seq: Number(seq), dedupe: String(dedupe) }));
  }

  async heard(): Promise<Heard[]> {
    const heard: Heard[] = [];
    for (;;) {
      const taken = await this.bus.receive(QUEUE, { limit: 1000 });
      if (taken.length === 0) return heard;
      for (const { key, message_id, body, token } of taken) {
        heard.push({ key, message_id, body: JSON.parse(new TextDecoder().decode(body)) });
        await this.bus.ack(QUEUE, token);
      }
    }
  }

  #failingBus(): EventBus {
    const { bus, faults } = this;
    return {
      ...bus,
      ensureExchange: failing(bus.ensureExchange, () => faults.bus('ensureExchange')),
      publish: failing(bus.publish, () => faults.bus('publish')),
    };
  }

  #failingDatabase(): Database {
    const { database, faults } = this;
    return {
      now: database.now,
      batch: failing(
        (statements) => database.batch(statements),
        () => faults.database(),
      ),
      close: async () => undefined,
    };
  }
}

function failing<Args extends unknown[], T>(method: (...args: Args) => Promise<T>, fault: () => Fault): (...args: Args) => Promise<T> {
  return async (...args) => {
    const outcome = fault();
    if (outcome === 'never') return await new Promise<never>(() => undefined);
    if (outcome instanceof Error) throw outcome;
    const answer = await method(...args);
    if (outcome !== undefined) throw outcome.lost;
    return answer;
  };
}

/** A port as a process sees it that may die: from then on nothing comes back, and nothing reaches it. */
function dying<Port extends object>(port: Port, death: AbortSignal): Port {
  const never = () => new Promise<never>(() => undefined);
  const entries = Object.entries(port).map(([name, value]) => {
    if (typeof value !== 'function') return [name, value];
    return [
      name,
      async (...args: unknown[]) => {
        if (death.aborted) return never();
        try {
          return await value.apply(port, args);
        } finally {
          if (death.aborted) await never();
        }
      },
    ];
  });
  return Object.fromEntries(entries) as Port;
}
