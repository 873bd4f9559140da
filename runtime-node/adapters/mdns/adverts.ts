import type { Answer } from 'dns-packet';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Advert } from '../../../shared/ports/lan.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { isInstance, SERVICE, sameName } from './names.ts';
import { fromTxt } from './txt.ts';

const MAX_ENTRIES = 1024;
/** What one sender can fill of it, so that one can't drive the others out. */
const MAX_PER_SENDER = 256;
/** Seconds. Nobody is believed for longer than our own records live, however long they claim. */
const MAX_TTL = 4500;
/** Seconds. What somebody proposes counts until it is announced, or not. */
const PROPOSED_TTL = 3;
/** A record is asked for anew when this part of its life is over, and a little more by chance, so that one of many asks (RFC 6762, section 5.2). */
const REFRESH_AT = [0.8, 0.9] as const;
/** How often an instance that is known by its name only is asked for. */
const MAX_RESOLVES = 3;

interface Entry {
  readonly instance: string;
  readonly sender: string;
  advert?: Advert;
  /** The advert as JSON. */
  text?: string;
  heardAt: number;
  /** When the TXT and the SRV record expire; SRV counts once it was heard. In milliseconds of the monotonic clock. */
  txtUntil: number;
  srvUntil?: number;
  ptrUntil?: number;
  refreshAt: number;
  resolves: number;
}

type Living = Entry & Required<Pick<Entry, 'advert' | 'text'>>;

/** An instance that is known, for the list of known answers: `ttl` is what is left of its life, in seconds. */
export interface Known {
  readonly instance: string;
  readonly ttl: number;
}

export interface AdvertsDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** True for an advert of this node itself, which comes back from the group. */
  isOwn(advert: Advert): boolean;
  /** True for the name of this node's own instance. */
  isOwnInstance(name: string): boolean;
  /** Each advert that is heard; `news` when it was not known or has changed. */
  onHeard(advert: Advert, news: boolean): void;
}

/** What was heard from others, for as long as its records live. Bounded, whatever is sent. */
export class Adverts {
  readonly #deps: AdvertsDeps;
  /** The one heard longest ago first. */
  readonly #entries = new Map<string, Entry>();

  constructor(deps: AdvertsDeps) {
    this.#deps = deps;
  }

  /** Takes in the records of one packet that came by the interface `link` from `sender`. */
  hear(link: string, sender: string, records: readonly Answer[], proposed: boolean): void {
    const { isOwnInstance } = this.#deps;
    for (const record of records) {
      if (!('ttl' in record) || record.type === undefined) continue;
      const ttl = Math.min(record.ttl ?? 0, proposed ? PROPOSED_TTL : MAX_TTL);
      const of = (name: string) => keyOf(link, proposed ? sender : '', name);
      // Our own records come back too. A text under our name is another's, if it does not say what we say.
      if (record.type !== 'TXT' && isOwnInstance(record.type === 'PTR' ? String(record.data) : record.name)) continue;
      if (record.type === 'PTR' && sameName(record.name, SERVICE) && isInstance(String(record.data))) {
        this.#note(of(String(record.data)), { instance: String(record.data), sender }, ttl, 'ptrUntil');
      } else if (record.type === 'SRV' && isInstance(record.name)) {
        this.#note(of(record.name), { instance: record.name, sender }, ttl, 'srvUntil');
      } else if (record.type === 'TXT' && isInstance(record.name)) {
        this.#hearTxt(of(record.name), { instance: record.name, sender }, ttl, record.data);
        // What was proposed is now said.
        if (!proposed) this.#entries.delete(keyOf(link, sender, record.name));
      }
    }
  }

  /** The adverts that live, each once, the one heard last first. */
  live(): Advert[] {
    const adverts = new Map<string, Advert>();
    for (const { advert, text } of this.#living().reverse()) if (!adverts.has(text)) adverts.set(text, advert);
    return [...adverts.values()];
  }

  /** What need not be answered when the group is asked on `link`: known, and not yet due to be looked at again. */
  known(link: string): Known[] {
    const now = this.#deps.clock.monotonic();
    const own = this.#living(link).filter(({ ptrUntil, refreshAt }) => ptrUntil !== undefined && refreshAt > now);
    return own.map(({ instance, ptrUntil = 0 }) => ({ instance, ttl: Math.floor((ptrUntil - now) / 1000) }));
  }

  /** True when an instance was named on `link`, and not long ago. */
  hasNamed(link: string, instance: string): boolean {
    return (this.#entries.get(keyOf(link, '', instance))?.ptrUntil ?? 0) > this.#deps.clock.monotonic();
  }

  /** At most so many instances on `link` to ask for: soon to expire, or known by name only. Each is named once at a time. */
  due(link: string, most: number): string[] {
    const now = this.#deps.clock.monotonic();
    const due: string[] = [];
    for (const [key, entry] of this.#entries) {
      if (!key.startsWith(`${link} `) || due.length >= most) continue;
      const nameless = entry.advert === undefined && (entry.ptrUntil ?? 0) > now && entry.resolves < MAX_RESOLVES;
      const old = entry.advert !== undefined && entry.refreshAt <= now && until(entry) > now;
      if (!nameless && !old) continue;
      entry.resolves += 1;
      entry.refreshAt = Number.POSITIVE_INFINITY;
      due.push(entry.instance);
    }
    return due;
  }

  /** An interface is gone, and with it whoever was heard there. */
  forget(link: string): void {
    for (const key of [...this.#entries.keys()]) if (key.startsWith(`${link} `)) this.#entries.delete(key);
  }

  #hearTxt(key: string, who: Pick<Entry, 'instance' | 'sender'>, ttl: number, data: unknown): void {
    const advert = fromTxt(data);
    if (advert === undefined || this.#deps.isOwn(advert)) return;
    const text = JSON.stringify(advert);
    const news = ttl > 0 && !this.#living().some((entry) => entry.text === text);
    const entry = this.#note(key, who, ttl, 'txtUntil');
    if (entry === undefined) return;
    Object.assign(entry, { advert, text });
    this.#deps.onHeard(advert, news);
  }

  /** A goodbye (no time to live) of any of its records ends an entry. */
  #note(key: string, who: Pick<Entry, 'instance' | 'sender'>, ttl: number, which: 'txtUntil' | 'srvUntil' | 'ptrUntil'): Entry | undefined {
    const before = this.#entries.get(key);
    this.#entries.delete(key);
    if (ttl === 0) return undefined;
    const now = this.#deps.clock.monotonic();
    const fresh = { ...who, txtUntil: 0, refreshAt: Number.POSITIVE_INFINITY, resolves: 0 };
    const entry: Entry = { ...fresh, ...before, sender: who.sender, heardAt: now, [which]: now + ttl * 1000 };
    const [least, most] = REFRESH_AT;
    const part = least + this.#deps.random.next() * (most - least);
    if (which !== 'ptrUntil') Object.assign(entry, { refreshAt: now + (until(entry) - now) * part });
    // What never has a text that can be read is not asked for again and again.
    if (which === 'txtUntil') entry.resolves = 0;
    if (before === undefined) this.#makeRoom(who.sender);
    this.#entries.set(key, entry);
    return entry;
  }

  #makeRoom(sender: string): void {
    const now = this.#deps.clock.monotonic();
    const all = [...this.#entries];
    const dead = all.filter(([, entry]) => Math.max(until(entry), entry.ptrUntil ?? 0) <= now);
    for (const [key] of dead) this.#entries.delete(key);
    const ofSender = all.filter(([key, entry]) => entry.sender === sender && this.#entries.has(key));
    const oldest = ofSender.length >= MAX_PER_SENDER ? ofSender[0]?.[0] : undefined;
    if (oldest !== undefined) this.#entries.delete(oldest);
    const first = this.#entries.keys().next().value;
    if (this.#entries.size >= MAX_ENTRIES && first !== undefined) this.#entries.delete(first);
  }

  #living(link?: string): Living[] {
    const now = this.#deps.clock.monotonic();
    const isAlive = (entry: Entry): entry is Living => entry.advert !== undefined && until(entry) > now;
    return [...this.#entries].flatMap(([key, entry]) =>
      (link === undefined || key.startsWith(`${link} `)) && isAlive(entry) ? [entry] : [],
    );
  }
}

function keyOf(link: string, proposer: string, instance: string): string {
  return `${link} ${proposer} ${instance.toLowerCase()}`;
}

/** When the first of its records expires. */
function until({ txtUntil, srvUntil = txtUntil }: Entry): number {
  return Math.min(txtUntil, srvUntil);
}
