import type Sqlite from 'better-sqlite3';
import type { Binding, BusValue, Exchange, ExchangeType, Queue, QueueType } from '../../../shared/contract/profile.ts';
import { BusError, type Declared, type Topology, type TopologyNames } from '../../../shared/ports/event-bus.ts';
import { createRouter, type Router } from './router.ts';

/** A queue's row; `ttl_ms` and `dlx` are null where the queue has none. */
export interface QueueRow {
  readonly id: number;
  readonly name: string;
  readonly type: QueueType;
  readonly ttl_ms: number | null;
  readonly dlx: string | null;
  readonly arguments: string;
}

interface BindingRow {
  readonly exchange: string;
  readonly queue: string;
  readonly key: string;
  readonly arguments: string;
}

/** Begins the name of a queue that was removed and whose messages are still there: no queue can be declared with it. */
export const GONE = '\u0001';
/** Their ids. What they still hold expires nowhere, and nobody is told of it. */
export const LEFT = `select id from queues where name > '${GONE}' and name < '${GONE}:'`;

/** Exchanges, queues and bindings. Each method runs inside a transaction of its caller. */
export class TopologyStore {
  readonly #sql: ReturnType<typeof statements>;
  readonly #queues = new Map<string, QueueRow>();
  readonly #routers = new Map<string, Router<string>>();

  constructor(database: Sqlite.Database) {
    this.#sql = statements(database);
  }

  /** Drops what is cached of rows that were rolled back. */
  forget(): void {
    this.#queues.clear();
    this.#routers.clear();
  }

  declareExchange({ name, type }: Exchange): void {
    const existing = this.#sql.exchange.get(name);
    if (existing === undefined) this.#sql.addExchange.run(name, type);
    else if (existing.type !== type) {
      throw new BusError(
        'incompatible',
        `The exchange ${name} exists with type ${existing.type} and cannot become ${type}: use another name`,
      );
    }
  }

  /** Takes over a `ttl_ms` that differs, and then answers with the row as it stands after. */
  declareQueue(queue: Queue): QueueRow | undefined {
    const wanted = { type: queue.type, dlx: queue.dlx ?? null, arguments: canonicalText(queue.arguments) };
    const ttl = queue.ttl_ms ?? null;
    const existing = this.#sql.queue.get(queue.name);
    if (existing === undefined) this.#sql.addQueue.run(queue.name, wanted.type, ttl, wanted.dlx, wanted.arguments);
    else refuseDifference(existing, wanted);
    if (existing === undefined || existing.ttl_ms === ttl) return undefined;
    this.#sql.alterTtl.run(ttl, existing.id);
    this.#queues.delete(queue.name);
    return this.queue(queue.name);
  }

  bind(binding: Binding): void {
    if (this.#sql.exchange.get(binding.exchange) === undefined) throw noSuchExchange(binding.exchange);
    const { id } = this.queue(binding.queue);
    const { changes } = this.#sql.bind.run(binding.exchange, id, binding.key, canonicalText(binding.arguments));
    if (changes > 0) this.#routers.delete(binding.exchange);
  }

  queue(name: string): QueueRow {
    const row = this.find(name);
    if (row === undefined) throw new BusError('no_such_queue', `There is no queue ${name}: declare it first`);
    return row;
  }

  find(name: string): QueueRow | undefined {
    const row = this.#queues.get(name) ?? this.#sql.queue.get(name);
    if (row !== undefined) this.#queues.set(name, row);
    return row;
  }

  /** One that is not there is no error, nor is a queue or an exchange that is not. */
  unbind({ exchange, queue, key, arguments: values }: Binding): void {
    const { changes } = this.#sql.unbind.run(exchange, queue, key, canonicalText(values));
    if (changes > 0) this.#routers.delete(exchange);
  }

  /** Refused (`in_use`) while a queue is bound to it. */
  removeExchange(name: string): void {
    const bound = this.#sql.boundTo.get(name);
    if (bound !== undefined) {
      throw new BusError('in_use', `The queue ${bound.queue} is bound to the exchange ${name} ("${bound.key}"): remove the binding first`);
    }
    this.#sql.removeExchange.run(name);
    this.#routers.delete(name);
  }

  /** From now on there is no queue of this name, nor a binding to it. Its messages stay until `forgetQueue`. */
  leave({ id, name }: QueueRow): void {
    for (const { exchange } of this.#sql.unbindAll.all(id)) this.#routers.delete(exchange);
    this.#sql.rename.run(`${GONE}${id}`, id);
    this.#queues.delete(name);
  }

  /** One of the queues that left. */
  left(): number | undefined {
    return this.#sql.left.get(GONE, `${GONE}:`)?.id;
  }

  forgetQueue(id: number): void {
    this.#sql.removeQueue.run(id);
  }

  /** The queues that a message goes to, each once. The exchange "" leads to the queue named by the key. */
  route(exchange: string, key: string, headers: Readonly<Record<string, BusValue>>): QueueRow[] {
    if (exchange === '') return this.#sql.queue.get(key) === undefined ? [] : [this.queue(key)];
    return Array.from(this.#router(exchange)(key, headers), (name) => this.queue(name));
  }

  read(wanted: TopologyNames): Topology {
    const asked = wanted.bindings.map((one) => [one.exchange, one.queue, one.key, canonicalText(one.arguments)]);
    return {
      exchanges: this.#sql.exchanges.all(JSON.stringify(wanted.exchanges)),
      queues: this.#sql.queues.all(JSON.stringify(wanted.queues)).map(toQueue),
      bindings: this.#sql.bindings.all(JSON.stringify(asked)).map((row) => ({ ...row, arguments: JSON.parse(row.arguments) })),
      // A publish here always resolves after the commit: there is nothing to turn on.
      confirms: true,
    };
  }

  all(): Declared {
    const bindings = this.#sql.allBindings.all().map((row) => ({ ...row, arguments: JSON.parse(row.arguments) }));
    return { exchanges: this.#sql.allExchanges.all(), queues: this.#sql.allQueues.all().map(toQueue), bindings };
  }

  #router(exchange: string): Router<string> {
    const cached = this.#routers.get(exchange);
    if (cached !== undefined) return cached;
    const row = this.#sql.exchange.get(exchange);
    if (row === undefined) throw noSuchExchange(exchange);
    const routes = this.#sql.routes.all(exchange);
    const router = createRouter(
      row.type,
      routes.map((route) => ({ key: route.key, arguments: JSON.parse(route.arguments), target: route.queue })),
    );
    this.#routers.set(exchange, router);
    return router;
  }
}

function statements(database: Sqlite.Database) {
  return {
    exchange: database.prepare<[string], { type: ExchangeType }>('select type from exchanges where name = ?'),
    addExchange: database.prepare('insert into exchanges (name, type) values (?, ?)'),
    queue: database.prepare<[string], QueueRow>('select * from queues where name = ?'),
    addQueue: database.prepare('insert into queues (name, type, ttl_ms, dlx, arguments) values (?, ?, ?, ?, ?)'),
    alterTtl: database.prepare('update queues set ttl_ms = ? where id = ?'),
    bind: database.prepare('insert into bindings (exchange, queue, key, arguments) values (?, ?, ?, ?) on conflict do nothing'),
    unbind: database.prepare(
      'delete from bindings where exchange = ? and queue = (select id from queues where name = ?) and key = ? and arguments = ?',
    ),
    unbindAll: database.prepare<[number], { exchange: string }>('delete from bindings where queue = ? returning exchange'),
    boundTo: database.prepare<[string], { queue: string; key: string }>(
      'select name as queue, key from bindings join queues on id = queue where exchange = ? limit 1',
    ),
    removeExchange: database.prepare('delete from exchanges where name = ?'),
    rename: database.prepare('update queues set name = ? where id = ?'),
    left: database.prepare<[string, string], { id: number }>('select id from queues where name > ? and name < ? limit 1'),
    removeQueue: database.prepare('delete from queues where id = ?'),
    routes: database.prepare<[string], BindingRow>(
      'select exchange, name as queue, key, bindings.arguments from bindings join queues on id = queue where exchange = ?',
    ),
    exchanges: database.prepare<[string], Exchange>('select name, type from exchanges where name in (select value from json_each(?))'),
    queues: database.prepare<[string], QueueRow>('select * from queues where name in (select value from json_each(?))'),
    allExchanges: database.prepare<[], Exchange>('select name, type from exchanges'),
    allQueues: database.prepare<[], QueueRow>(`select * from queues where id not in (${LEFT})`),
    allBindings: database.prepare<[], BindingRow>(
      'select exchange, name as queue, key, bindings.arguments from bindings join queues on id = queue',
    ),
    bindings: database.prepare<[string], BindingRow>(`
      select distinct bindings.exchange, name as queue, bindings.key, bindings.arguments from json_each(?) as asked
      join queues on name = asked.value ->> 1
      join bindings on bindings.exchange = asked.value ->> 0 and bindings.queue = queues.id
        and bindings.key = asked.value ->> 2 and bindings.arguments = asked.value ->> 3
    `),
  };
}

function toQueue({ name, type, ttl_ms, dlx, arguments: text }: QueueRow): Queue {
  return { name, type, ...(ttl_ms === null ? {} : { ttl_ms }), ...(dlx === null ? {} : { dlx }), arguments: JSON.parse(text) };
}

function refuseDifference(existing: QueueRow, wanted: Pick<QueueRow, 'type' | 'dlx' | 'arguments'>): void {
  for (const field of ['type', 'dlx', 'arguments'] as const) {
    if (existing[field] === wanted[field]) continue;
    throw new BusError(
      'incompatible',
      `The queue ${existing.name} exists with ${field} ${existing[field] ?? 'none'} and cannot get ${wanted[field] ?? 'none'}: use another name`,
    );
  }
}

function noSuchExchange(name: string): BusError {
  return new BusError('no_such_exchange', `There is no exchange ${name}: declare it first`);
}

/** The same text for the same arguments, in whatever order they were written. */
function canonicalText(values: Readonly<Record<string, BusValue>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))));
}
