import type { Random } from '../../shared/ports/random.ts';
import { between, chance } from './random.ts';
import type { Timeline } from './timeline.ts';

/** How the network behaves now; changed by faults. */
export interface Weather {
  /** How long a message takes, milliseconds: least and most. */
  delay: readonly [number, number];
  /** The share of messages that are lost. On a connection they are sent again, which takes time. */
  loss: number;
  /** The share of requests and packets that arrive twice. */
  duplicates: number;
}

const FAIR: Weather = { delay: [0.2, 2], loss: 0, duplicates: 0 };
const INTERNET: Weather = { delay: [15, 60], loss: 0, duplicates: 0 };
/** As TCP sends again: first after this long, then after twice as long, and so on. */
const RESEND_MS = 200;
/** What waits for a cut link is forgotten after this long, as a connection is given up. */
const PATIENCE_MS = 60_000;

interface Parked {
  readonly from: string;
  readonly to: string;
  readonly at: number;
  readonly deliver: () => void;
}

/** Carries messages between hosts: late, out of order, twice or never, and not at all where a link is cut. */
export class Network {
  readonly lan: Weather = { ...FAIR };
  readonly internet: Weather = { ...INTERNET };
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #cut = new Set<string>();
  /** The share of requests that arrive though their caller has given them up meanwhile, as what a kernel sends again may. */
  lateShare = 0;
  #parked: Parked[] = [];
  /** How often each host has lost its power. */
  readonly #outages = new Map<string, number>();
  messages = 0;

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline;
    this.#random = random;
  }

  /** Cuts one direction. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from} ${to}`);
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from} ${to}`);
  }

  mend(from: string, to: string): void {
    this.#cut.delete(`${from} ${to}`);
    const waiting = this.#parked.filter((one) => one.from === from && one.to === to);
    this.#parked = this.#parked.filter((one) => !waiting.includes(one));
    const fresh = waiting.filter(({ at }) => this.#timeline.now - at < PATIENCE_MS);
    for (const { deliver } of fresh) this.segment(from, to, deliver, between(this.#random, 0, 1000));
  }

  /** A host loses its power: what it would have sent again is gone with it. */
  losePower(host: string): void {
    this.#outages.set(host, (this.#outages.get(host) ?? 0) + 1);
    this.#parked = this.#parked.filter(({ from }) => from !== host);
  }

  mendAll(): void {
    for (const link of [...this.#cut]) {
      const [from = '', to = ''] = link.split(' ');
      this.mend(from, to);
    }
  }

  /** Fair weather, all links whole. */
  heal(): void {
    this.mendAll();
    this.calm();
  }

  calm(): void {
    Object.assign(this.lan, FAIR);
    Object.assign(this.internet, INTERNET);
  }

  /** A part of a connection: it arrives some time, once, unless the link stays cut. */
  segment(from: string, to: string, deliver: () => void, extra_ms = 0): void {
    this.messages += 1;
    const weather = this.#weather(from, to);
    const under_way = extra_ms + this.#delay(weather);
    let waits = 0;
    for (let resend = RESEND_MS; resend < 10_000 && chance(this.#random, weather.loss); resend *= 2) waits += resend;
    const outages = this.#outages.get(from);
    const arrive = () => {
      const isSenderLost = this.#outages.get(from) !== outages;
      if (this.isCut(from, to)) {
        if (!isSenderLost) this.#parked.push({ from, to, at: this.#timeline.now, deliver });
      } else if (waits === 0 || !isSenderLost) deliver();
    };
    this.#timeline.after(from === to ? 0.05 : under_way + waits, arrive, to);
  }

  /** A datagram may be lost or come twice: when each copy of it arrives, in milliseconds. */
  packetDelays(from: string, to: string): number[] {
    const weather = this.#weather(from, to);
    this.messages += 1;
    if (this.isCut(from, to) || chance(this.#random, weather.loss)) return [];
    return chance(this.#random, weather.duplicates) ? [this.#delay(weather), this.#delay(weather)] : [this.#delay(weather)];
  }

  /** Whether a request that its caller has given up arrives all the same. */
  isLateHeard(): boolean {
    return this.lateShare > 0 && chance(this.#random, this.lateShare);
  }

  /** Whether a request between these arrives a second time. */
  isDoubled(from: string, to: string): boolean {
    const { duplicates } = this.#weather(from, to);
    return duplicates > 0 && chance(this.#random, duplicates);
  }

  #weather(from: string, to: string): Weather {
    return from === CLOUD_HOST || to === CLOUD_HOST ? this.internet : this.lan;
  }

  #delay({ delay: [least, most] }: Weather): number {
    return between(this.#random, least, most);
  }
}

/** The host that is not on the LAN. */
export const CLOUD_HOST = 'cloud';
