import type { Answer, Question } from 'dns-packet';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Advert, type Lan, LanError } from '../../shared/ports/lan.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { Random } from '../../shared/ports/random.ts';
import { messageOf } from '../thrown.ts';
import { Adverts } from './mdns/adverts.ts';
import { browse } from './mdns/browse.ts';
import { type Interface, listInterfaces } from './mdns/interfaces.ts';
import { Link } from './mdns/link.ts';
import { type Names, namesOf, SERVICE, sameName } from './mdns/names.ts';
import { type OpenWire, openWire } from './mdns/wire.ts';

/** Interfaces come and go without a word to us. */
const LOOK_MS = 3000;
/** When a browse asks, as parts of its time, of which the first second counts. */
const ASKED_AT = [0, 0.3, 0.7];
/** A listener that was there for so long needs no answer again that all have just been asked for (RFC 6762, section 7.3). */
const ASKED_AGAIN_MS = 5000;
/** Somebody who listens has the group asked after these waits: doubled each time, up to an hour (RFC 6762, section 5.2). */
const FIRST_ASK_MS = 1000;
const LONGEST_ASK_MS = 3_600_000;
/** How often what is about to expire is looked for; nothing is sent for that alone. */
const REFRESH_LOOK_MS = 5000;
/** However much there is to ask for, and whatever others send. */
const REFRESHED_AGAIN_MS = 1000;
/** Known answers and questions that fit into one packet, with the longest names. */
const MAX_KNOWN = 10;
const MAX_QUESTIONS = 10;
/** After that many conflicts, five seconds between one attempt and the next (RFC 6762, section 8.1). */
const MANY_CONFLICTS = 15;
const AFTER_MANY_MS = 5000;
/** How many adverts of our own are remembered, to tell them when they come back. */
const OWN_REMEMBERED = 16;

export interface MdnsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Names or addresses; empty: all but loopback. */
  readonly interfaces: readonly string[];
  /** The machine's interfaces, and the sockets on them. */
  readonly list?: (wanted: readonly string[]) => readonly Interface[];
  readonly openWire?: OpenWire;
}

/**
 * The LAN port over multicast DNS (RFC 6762) and DNS-SD (RFC 6763): the service `_bootplane._tcp.local`, an
 * instance per node, the whole advert in its TXT record.
 *
 * - Runs beside avahi and other nodes on the same machine; answers for its own names only.
 * - Looks at the interfaces every three seconds; one that is new gets the advert, after probing there.
 * - An advert is heard from the first probe on, before the name is claimed: it is only a hint in any case.
 * - Sends eight announcements of what is new within about two minutes, and nothing afterwards but answers and
 *   the questions of whoever browses or listens.
 */
export function createMdnsLan(options: MdnsOptions): Lan {
  return new MdnsLan(options);
}

interface Own {
  readonly advert: Advert;
  readonly names: Names;
  readonly attempt: number;
}

class MdnsLan implements Lan {
  readonly #options: Required<MdnsOptions>;
  readonly #adverts: Adverts;
  readonly #links = new Map<string, Link>();
  readonly #listeners = new Set<(advert: Advert) => void>();
  readonly #browsers = new Set<(advert: Advert) => void>();
  readonly #closed = new AbortController();
  /** Adverts of our own, the newest last, as JSON. */
  readonly #said = new Set<string>();
  /** Trouble that was logged already. */
  readonly #troubles = new Set<string>();
  /** The first look at the interfaces. */
  readonly #opened: Promise<void>;
  #isOpen = false;
  /** When each link was last asked for what is about to expire. */
  readonly #refreshed = new WeakMap<Link, number>();
  /** When each link was opened, and when all were last asked there who is on it, by this node or another. */
  readonly #openedAt = new WeakMap<Link, number>();
  readonly #askedAt = new WeakMap<Link, number>();
  #ownAddresses: ReadonlySet<string> = new Set();
  #own: Own | undefined;
  #listening: AbortController | undefined;

  constructor(options: MdnsOptions) {
    this.#options = { list: listInterfaces, openWire, ...options };
    this.#adverts = new Adverts({
      ...options,
      isOwn: (advert) => this.#said.has(JSON.stringify(advert)),
      isOwnInstance: (name) => this.#own !== undefined && sameName(name, this.#own.names.instance),
      onHeard: (advert, news) => this.#tell(advert, news),
    });
    this.#opened = this.#look();
    void this.#opened.then(() => {
      this.#isOpen = true;
      return this.#watch();
    });
  }

  async *browse(timeout_ms: number, signal?: AbortSignal): AsyncGenerator<Advert, void> {
    const asking = new AbortController();
    const ended = AbortSignal.any([this.#closed.signal, ...(signal === undefined ? [] : [signal])]);
    void this.#askSoon(Math.min(timeout_ms, 1000), AbortSignal.any([ended, asking.signal]));
    try {
      yield* browse(timeout_ms, {
        clock: this.#options.clock,
        known: () => this.#adverts.live(),
        listen: (add) => {
          this.#browsers.add(add);
          return () => this.#browsers.delete(add);
        },
        signal: ended,
      });
    } finally {
      asking.abort();
    }
  }

  async advertise(advert: Advert | undefined): Promise<void> {
    if (this.#closed.signal.aborted) throw new LanError('this end of the LAN is closed');
    if (advert === undefined) {
      this.#own = undefined;
      await this.#opened;
      await Promise.all([...this.#links.values()].map((link) => link.withdraw()));
      return;
    }
    const attempt = this.#own?.advert.node_id === advert.node_id ? this.#own.attempt : 1;
    const own = { advert, attempt, names: namesOf(advert.node_id, attempt) };
    this.#own = own;
    this.#remember(advert);
    await this.#opened;
    if (this.#own === own) await this.#publish(own);
  }

  onAdvert(listener: (advert: Advert) => void): () => void {
    const own = (advert: Advert) => listener(advert);
    this.#listeners.add(own);
    if (this.#listening === undefined) {
      this.#listening = new AbortController();
      void this.#askAlways(AbortSignal.any([this.#closed.signal, this.#listening.signal]));
    }
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size > 0) return;
      this.#listening?.abort();
      this.#listening = undefined;
    };
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#own = undefined;
    await this.#opened;
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    this.#links.clear();
  }

  /** Resolves when one interface has taken it. */
  async #publish({ names, advert }: Own): Promise<void> {
    const links = [...this.#links.values()];
    if (links.length === 0) throw new LanError('there is no network interface for multicast DNS');
    const sent = links.map((link) => link.publish(names, advert));
    await Promise.any(sent).catch((error: unknown) => {
      throw error instanceof AggregateError ? error.errors[0] : error;
    });
  }

  #remember(advert: Advert): void {
    const text = JSON.stringify(advert);
    this.#said.delete(text);
    this.#said.add(text);
    const [oldest] = this.#said;
    if (this.#said.size > OWN_REMEMBERED && oldest !== undefined) this.#said.delete(oldest);
  }

  #tell(advert: Advert, news: boolean): void {
    for (const browser of [...this.#browsers]) browser(advert);
    for (const listener of news ? [...this.#listeners] : []) {
      try {
        listener(advert);
      } catch (error) {
        this.#options.log.error('what listens for adverts failed', { error: messageOf(error) });
      }
    }
  }

  async #renamed(names: Names): Promise<void> {
    const before = this.#own;
    if (before === undefined || before.names.instance !== names.instance) return;
    const attempt = before.attempt + 1;
    const own = { ...before, attempt, names: namesOf(before.advert.node_id, attempt) };
    this.#own = own;
    const told = { instance: names.instance, now: own.names.instance };
    this.#once('another on the LAN has the name of this node: two machines with one node_id, or a copy', told, before.advert.node_id);
    if (attempt > MANY_CONFLICTS) await this.#options.clock.sleep(AFTER_MANY_MS, this.#closed.signal);
    if (this.#own === own && !this.#closed.signal.aborted) await this.#publish(own).catch(() => {});
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closed.signal.aborted) {
      await clock.sleep(LOOK_MS, this.#closed.signal);
      if (!this.#closed.signal.aborted) await this.#look();
    }
  }

  /** Opens what is new, closes what is gone. Never rejects. */
  async #look(): Promise<void> {
    const { list, interfaces } = this.#options;
    try {
      const places = list(interfaces);
      this.#ownAddresses = new Set(places.flatMap(({ addresses }) => addresses));
      if (places.length === 0) this.#once('there is no network interface for multicast DNS; it is looked for again', { interfaces });
      const keys = new Set(places.map(({ key }) => key));
      const gone = [...this.#links.values()].filter(({ key }) => !keys.has(key));
      await Promise.all([...gone.map((link) => this.#leave(link)), ...places.map((place) => this.#join(place))]);
    } catch (error) {
      this.#once('the network interfaces could not be looked at; it is tried again', { error: messageOf(error) });
    }
  }

  async #join(place: Interface): Promise<void> {
    if (this.#links.has(place.key)) return;
    const link = new Link({
      ...this.#options,
      place,
      isOwnAddress: (address) => this.#ownAddresses.has(address),
      onConflict: (names) => void this.#renamed(names),
      onAsked: (names, known) => {
        const isSame = names.some((name) => sameName(name, SERVICE)) && known.every((record) => this.#isKnown(link, record));
        if (isSame) this.#askedAt.set(link, this.#options.clock.monotonic());
      },
      onRecords: (records, { address }, proposed) => {
        this.#adverts.hear(place.key, address, records, proposed);
        if (!proposed) void this.#refresh();
      },
    });
    try {
      await link.open();
    } catch (error) {
      this.#once(`multicast DNS does not work on ${place.name}; it is tried again`, { interface: place.name, error: messageOf(error) });
      await link.close().catch(() => {});
      return;
    }
    if (this.#closed.signal.aborted) return link.close();
    this.#links.set(place.key, link);
    this.#openedAt.set(link, this.#options.clock.monotonic());
    if (this.#own !== undefined) link.publish(this.#own.names, this.#own.advert).catch(() => {});
    // Whoever listens asked before it was there.
    if (this.#listening !== undefined && this.#isOpen) await this.#ask(link);
  }

  async #leave(link: Link): Promise<void> {
    this.#links.delete(link.key);
    this.#adverts.forget(link.key);
    await link.close().catch(() => {});
  }

  async #askSoon(within: number, signal: AbortSignal): Promise<void> {
    await this.#opened;
    let passed = 0;
    for (const part of ASKED_AT) {
      if (part * within > passed) await this.#options.clock.sleep(part * within - passed, signal);
      passed = part * within;
      if (signal.aborted) return;
      await Promise.all([...this.#links.values()].filter((link) => !this.#isAnswered(link)).map((link) => this.#ask(link)));
    }
  }

  /** What others answered a moment ago to all was heard here too, so that a large site does not ask and answer without end. */
  #isAnswered(link: Link): boolean {
    if (this.#listening === undefined) return false;
    const since = this.#options.clock.monotonic() - ASKED_AGAIN_MS;
    return (this.#openedAt.get(link) ?? since) < since && (this.#askedAt.get(link) ?? since) > since;
  }

  /** True for an answer that somebody did not want, and that this node has too. */
  #isKnown({ key }: Link, record: Answer): boolean {
    if (record.type !== 'PTR') return true;
    const instance = String(record.data);
    return this.#adverts.hasNamed(key, instance) || (this.#own !== undefined && sameName(instance, this.#own.names.instance));
  }

  async #askAlways(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    await this.#opened;
    let wait = FIRST_ASK_MS;
    let at = clock.monotonic();
    while (!signal.aborted) {
      if (clock.monotonic() >= at) {
        await this.#askAll();
        at = clock.monotonic() + wait;
        wait = Math.min(wait * 2, LONGEST_ASK_MS);
      }
      await clock.sleep(Math.min(REFRESH_LOOK_MS, at - clock.monotonic()), signal);
      if (!signal.aborted) await this.#refresh();
    }
  }

  async #askAll(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => this.#ask(link)));
  }

  #ask(link: Link): Promise<void> {
    this.#askedAt.set(link, this.#options.clock.monotonic());
    const known = this.#adverts.known(link.key).sort((a, b) => b.ttl - a.ttl);
    const answers = known.slice(0, MAX_KNOWN).map(({ instance, ttl }) => ({ name: SERVICE, type: 'PTR', ttl, data: instance }) as const);
    return link.ask([{ name: SERVICE, type: 'PTR' }], answers);
  }

  /** Asks for what is about to expire, and for what is known by its name only, while somebody wants to know. */
  async #refresh(): Promise<void> {
    if (this.#listeners.size === 0 && this.#browsers.size === 0) return;
    const now = this.#options.clock.monotonic();
    for (const link of this.#links.values()) {
      if (now - (this.#refreshed.get(link) ?? Number.NEGATIVE_INFINITY) < REFRESHED_AGAIN_MS) continue;
      const due = this.#adverts.due(link.key, MAX_QUESTIONS);
      const questions = due.map((name) => ({ name, type: 'ANY' }) as unknown as Question);
      if (questions.length === 0) continue;
      this.#refreshed.set(link, now);
      await link.ask(questions, []);
    }
  }

  #once(message: string, fields: Readonly<Record<string, unknown>>, about: unknown = fields): void {
    const trouble = `${message} ${JSON.stringify(about)}`;
    if (this.#troubles.has(trouble)) return;
    this.#troubles.add(trouble);
    this.#options.log.warn(message, fields);
  }
}
