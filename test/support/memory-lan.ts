import type { Clock } from '../../shared/ports/clock.ts';
import { type Advert, type Lan, LanError } from '../../shared/ports/lan.ts';
import type { Log } from '../../shared/ports/log.ts';

/**
 * What the network does to one packet: the milliseconds after which each copy arrives. `[]` loses it,
 * `[1, 1]` doubles it. Asked for each packet and each receiver, in the order in which they joined, so a
 * partition, a one-way loss or a delay is a function of the two addresses (and of a seed).
 */
export type Path = (from: string, to: string) => readonly number[];

export interface MemoryLanOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The clock by which a machine hears and speaks, asked for once for each; they go alike. Default: `clock`. */
  readonly clockOf?: (address: string) => Clock;
  /** Default: every packet arrives after 1 ms. Called with addresses as they were given to `join`. */
  readonly path?: Path;
  /** How long an advert counts after it was heard last, in milliseconds. Default: 120 s, as an SRV record. */
  readonly ttl_ms?: number;
}

type Packet = { readonly kind: 'query' } | { readonly kind: 'advert'; readonly advert: Advert } | { readonly kind: 'goodbye' };

/** When what is new is said again, in case it was lost: milliseconds after the first time. */
const ANNOUNCED_AGAIN_MS = [1000, 3000];
/** When a browse asks, as parts of its time (of one second at most). */
const ASKED_AT = [0, 0.3, 0.7];

/** A LAN in memory: the shared medium. It does nothing by itself; all time is the clock's. */
export class MemoryLan {
  readonly #options: Required<Omit<MemoryLanOptions, 'path' | 'clock'>>;
  readonly #joined = new Map<string, Station>();
  /** May be replaced at any time. */
  path: Path;
  /** How many packets were sent, by kind. A packet to all counts once. */
  readonly sent = { query: 0, advert: 0, goodbye: 0 };

  constructor({ path = () => [1], ttl_ms = 120_000, clock, clockOf = () => clock, log }: MemoryLanOptions) {
    this.#options = { log, clockOf, ttl_ms };
    this.path = path;
  }

  /** A machine at `address`. An address that was crashed or closed may join again. */
  join(address: string): Lan {
    if (this.#joined.has(address)) throw new TypeError(`${address} is on the LAN already`);
    const { log, ttl_ms, clockOf } = this.#options;
    const station = new Station({
      clock: clockOf(address),
      log,
      ttl_ms,
      send: (packet) => this.#send(address, packet),
      leave: () => {
        if (this.#joined.get(address) === station) this.#joined.delete(address);
      },
    });
    this.#joined.set(address, station);
    return station;
  }

  /** The machine at `address` is gone without a word. */
  crash(address: string): void {
    this.#joined.get(address)?.crash();
  }

  /** Takes the network away from the machine at `address`, or gives it back. What it advertises is said when it is back. */
  plug(address: string, plugged: boolean): void {
    this.#joined.get(address)?.plug(plugged);
  }

  #send(from: string, packet: Packet): void {
    this.sent[packet.kind] += 1;
    for (const [to, station] of this.#joined) {
      if (to !== from) for (const delay of this.path(from, to)) void this.#deliver(station, from, packet, delay);
    }
  }

  async #deliver(station: Station, from: string, packet: Packet, delay: number): Promise<void> {
    await station.clock.sleep(delay);
    station.hear(from, packet);
  }
}

interface StationDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly ttl_ms: number;
  send(packet: Packet): void;
  leave(): void;
}

class Station implements Lan {
  readonly #deps: StationDeps;
  readonly #known = new Map<string, { readonly advert: Advert; readonly until: number }>();
  readonly #listeners = new Set<(advert: Advert) => void>();
  readonly #browsers = new Set<(advert: Advert) => void>();
  readonly #gone = new AbortController();
  readonly clock: Clock;
  #own: Advert | undefined;
  #plugged = true;

  constructor(deps: StationDeps) {
    this.#deps = deps;
    this.clock = deps.clock;
  }

  async *browse(timeout_ms: number, signal?: AbortSignal): AsyncGenerator<Advert> {
    const ended = new AbortController();
    const end = AbortSignal.any([ended.signal, this.#gone.signal, ...(signal === undefined ? [] : [signal])]);
    const seen = new Set<string>();
    const found: Advert[] = [];
    let wake = () => {};
    const add = (advert: Advert) => {
      const text = JSON.stringify(advert);
      if (seen.has(text)) return;
      seen.add(text);
      found.push(advert);
      wake();
    };
    for (const { advert, until } of this.#known.values()) if (until > this.#deps.clock.monotonic()) add(advert);
    this.#browsers.add(add);
    let over = end.aborted;
    void this.#deps.clock.sleep(timeout_ms, end).then(() => {
      over = true;
      wake();
    });
    void this.#ask(Math.min(timeout_ms, 1000), end);
    try {
      while (!end.aborted) {
        const next = found.shift();
        if (next !== undefined) yield next;
        else if (over) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#browsers.delete(add);
      ended.abort();
    }
  }

  async advertise(advert: Advert | undefined): Promise<void> {
    const before = this.#own;
    this.#own = advert;
    if (this.#gone.signal.aborted) throw new LanError('this end of the LAN is closed');
    if (!this.#plugged) throw new LanError('there is no network');
    if (advert !== undefined) void this.#announce(advert);
    else if (before !== undefined) this.#deps.send({ kind: 'goodbye' });
  }

  onAdvert(listener: (advert: Advert) => void): () => void {
    // A listener that is handed over twice is two listeners.
    const own = (advert: Advert) => listener(advert);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async close(): Promise<void> {
    if (this.#gone.signal.aborted) return;
    if (this.#plugged && this.#own !== undefined) this.#deps.send({ kind: 'goodbye' });
    this.crash();
  }

  crash(): void {
    this.#own = undefined;
    this.#gone.abort();
    this.#deps.leave();
  }

  plug(plugged: boolean): void {
    const back = plugged && !this.#plugged;
    this.#plugged = plugged;
    if (back && this.#own !== undefined) void this.#announce(this.#own);
  }

  hear(from: string, packet: Packet): void {
    if (!this.#plugged || this.#gone.signal.aborted) return;
    if (packet.kind === 'query') {
      if (this.#own !== undefined) this.#deps.send({ kind: 'advert', advert: this.#own });
    } else if (packet.kind === 'goodbye') this.#known.delete(from);
    else this.#learn(from, packet.advert);
  }

  #learn(from: string, advert: Advert): void {
    const now = this.#deps.clock.monotonic();
    const before = this.#known.get(from);
    this.#known.set(from, { advert, until: now + this.#deps.ttl_ms });
    for (const browser of this.#browsers) browser(advert);
    if (before !== undefined && before.until > now && JSON.stringify(before.advert) === JSON.stringify(advert)) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(advert);
      } catch (error) {
        this.#deps.log.error('what listens for adverts failed', { error: String(error) });
      }
    }
  }

  async #announce(advert: Advert): Promise<void> {
    this.#deps.send({ kind: 'advert', advert });
    let passed = 0;
    for (const at of ANNOUNCED_AGAIN_MS) {
      await this.#deps.clock.sleep(at - passed, this.#gone.signal);
      passed = at;
      if (this.#own !== advert || !this.#plugged) return;
      this.#deps.send({ kind: 'advert', advert });
    }
  }

  async #ask(within: number, signal: AbortSignal): Promise<void> {
    let passed = 0;
    for (const part of ASKED_AT) {
      if (part * within > passed) await this.#deps.clock.sleep(part * within - passed, signal);
      passed = part * within;
      if (signal.aborted) return;
      if (this.#plugged) this.#deps.send({ kind: 'query' });
    }
  }
}
