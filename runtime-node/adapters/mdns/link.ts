import type { Answer, Packet, Question } from 'dns-packet';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Advert } from '../../../shared/ports/lan.ts';
import { LanError } from '../../../shared/ports/lan.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { messageOf } from '../../thrown.ts';
import { announceAgain, Claim, losesTo } from './claim.ts';
import type { Interface } from './interfaces.ts';
import { type Names, sameName } from './names.ts';
import { type OwnRecord, type OwnRecords, rdata, recordsOf, sameRecord, toSend } from './records.ts';
import { Responder, response } from './responder.ts';
import { type Heard, MDNS_PORT, type OpenWire, type Peer, type Wire } from './wire.ts';

/** How long what we said ourselves may come back to us, by another interface or a repeater. */
const ECHO_MS = 10_000;

export interface LinkDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly place: Interface;
  readonly openWire: OpenWire;
  /** True for an address of this machine, on whichever interface. */
  isOwnAddress(address: string): boolean;
  /** Another uses one of our names. */
  onConflict(names: Names): void;
  /** Somebody has asked the group all there is to ask of these names; `known` need not be answered. */
  onAsked(names: readonly string[], known: readonly Answer[]): void;
  /** What others say, in answers and announcements, and what they propose while they probe. */
  onRecords(records: readonly Answer[], from: Peer, proposed: boolean): void;
}

/** One interface: its socket, and what this node says there. */
export class Link {
  readonly #deps: LinkDeps;
  readonly #closed = new AbortController();
  readonly #responder: Responder;
  /** Data of records that we said, and until when it counts as an echo. */
  readonly #echoes = new Map<string, number>();
  #wire: Wire | undefined;
  #own: OwnRecords | undefined;
  /** The names are ours: they were asked for, and nobody objected. */
  #claimed = false;
  #claim: Claim | undefined;
  #cycle = new AbortController();
  #trouble: string | undefined;

  constructor(deps: LinkDeps) {
    this.#deps = deps;
    this.#responder = new Responder({
      ...deps,
      signal: this.#closed.signal,
      records: () => (this.#claimed ? this.#own : undefined),
      send: (packet, to) => this.#send(packet, to),
    });
  }

  get key(): string {
    return this.#deps.place.key;
  }

  get name(): string {
    return this.#deps.place.name;
  }

  /** Rejects when the interface can't be used. */
  async open(): Promise<void> {
    this.#wire = await this.#deps.openWire(this.#deps.place, (packet, from) => this.#hear(packet, from));
    if (this.#closed.signal.aborted) await this.#wire.close();
  }

  /**
   * Says `advert` from now on. Resolves when it was said once, or proposed once, when the names are still to be
   * claimed; rejects with `LanError` when that failed, and goes on trying.
   */
  async publish(names: Names, advert: Advert): Promise<void> {
    const kept = this.#claimed && this.#own?.names.instance === names.instance;
    this.#cycle.abort();
    this.#cycle = new AbortController();
    this.#own = recordsOf(names, advert, this.#deps.place.addresses);
    this.#claimed = kept;
    await this.#begin();
  }

  /** Says goodbye, if anything was said. */
  async withdraw(): Promise<void> {
    const own = this.#own;
    this.#cycle.abort();
    this.#claim = undefined;
    this.#own = undefined;
    const said = this.#claimed;
    this.#claimed = false;
    // The type of the service is no one's alone: others may still have one of it.
    if (own !== undefined && said) await this.#send(response([...own.shared.slice(0, 1), ...own.unique], [], 0)).catch(() => {});
  }

  /** Asks the group. `known` need not be answered. */
  async ask(questions: readonly Question[], known: readonly Answer[]): Promise<void> {
    await this.#send({ type: 'query', questions: [...questions], answers: [...known] }).catch(() => {});
  }

  async close(): Promise<void> {
    await this.withdraw();
    this.#closed.abort();
    await this.#wire?.close();
  }

  #begin(): Promise<void> {
    const { clock, random } = this.#deps;
    const signal = AbortSignal.any([this.#closed.signal, this.#cycle.signal]);
    return new Promise((resolve, reject) => {
      const tried = (work: Promise<void>) =>
        work.catch((error: unknown) => {
          reject(new LanError(`nothing can be sent on ${this.name}: ${messageOf(error)}`));
          throw error;
        });
      const shared = { clock, random, signal, sent: resolve };
      const announce = () => tried(this.#announce());
      const claim = new Claim({ ...shared, announce, probe: () => tried(this.#probe()) });
      this.#claim = claim;
      signal.addEventListener('abort', () => resolve(), { once: true });
      void this.#live(claim, () => announceAgain({ ...shared, announce }));
    });
  }

  async #live(claim: Claim, announce: () => Promise<void>): Promise<void> {
    if (!this.#claimed && !(await claim.run())) return;
    if (this.#claim === claim) this.#claim = undefined;
    this.#claimed = true;
    await announce();
  }

  #probe(): Promise<void> {
    const own = this.#own;
    if (own === undefined) return Promise.resolve();
    const questions = [own.names.instance, own.names.host].map((name) => ({ name, type: 'ANY' }) as unknown as Question);
    return this.#send({ type: 'query', questions, authorities: own.unique.map((record) => toSend({ ...record, flush: false })) });
  }

  #announce(): Promise<void> {
    const own = this.#own;
    if (own === undefined) return Promise.resolve();
    const all = [...own.shared, ...own.unique];
    this.#responder.noteSaid(all);
    return this.#send(response(all, []));
  }

  async #send(packet: Packet, to?: Peer): Promise<void> {
    if (this.#wire === undefined) throw new LanError(`${this.name} is not open`);
    this.#noteEchoes();
    try {
      await this.#wire.send(packet, to);
      this.#trouble = undefined;
    } catch (error) {
      const message = messageOf(error);
      if (this.#trouble !== message && !this.#closed.signal.aborted) {
        this.#deps.log.warn('multicast DNS can not send; it goes on trying', { interface: this.name, error: message });
      }
      this.#trouble = message;
      throw error;
    }
  }

  #hear(packet: Heard, from: Peer): void {
    if (this.#closed.signal.aborted || packet.opcode !== 'QUERY') return;
    try {
      if (packet.type === 'query') this.#hearQuery(packet, from);
      else if (from.port === MDNS_PORT && packet.rcode === 'NOERROR') this.#hearResponse(packet, from);
    } catch (error) {
      this.#deps.log.debug('a multicast DNS packet was ignored', {
        interface: this.name,
        from: from.address,
        error: messageOf(error),
      });
    }
  }

  #hearQuery(packet: Heard, from: Peer): void {
    const own = this.#own;
    if (own !== undefined && this.#claim !== undefined && packet.authorities.length > 0) {
      const names = [own.names.instance, own.names.host];
      if (names.some((name) => losesTo(own, packet.authorities, name, (record) => this.#isOurs(record)))) this.#claim.lose();
    }
    this.#responder.hear(packet, from);
    if (from.port !== MDNS_PORT) return;
    if (packet.authorities.length > 0) this.#deps.onRecords(packet.authorities, from, true);
    else if (!packet.flag_tc) this.#deps.onAsked(questionsToAll(packet), packet.answers);
  }

  #hearResponse(packet: Heard, from: Peer): void {
    const records = [...packet.answers, ...packet.additionals];
    const own = this.#own;
    if (own !== undefined && records.some((record) => this.#contradicts(record, own))) this.#conflict(own);
    this.#deps.onRecords(records, from, false);
  }

  /** Another's data under a name that is ours alone (RFC 6762, section 9). */
  #contradicts(record: Answer, { names }: OwnRecords): boolean {
    if (!('ttl' in record) || record.ttl === 0) return false;
    const { type, name } = record;
    if (type === 'SRV') return sameName(name, names.instance) && !this.#isOurs(record);
    return (type === 'A' || type === 'AAAA') && sameName(name, names.host) && !this.#isOurs(record);
  }

  #conflict(own: OwnRecords): void {
    if (!this.#claimed) {
      this.#deps.onConflict(own.names);
      return;
    }
    // Both had it: both ask anew, and the one who loses that renames itself.
    this.#claimed = false;
    this.#cycle.abort();
    this.#cycle = new AbortController();
    this.#begin().catch(() => {});
  }

  #isOurs(record: Answer): boolean {
    if (record.type === 'A' || record.type === 'AAAA') return this.#deps.isOwnAddress(String(record.data));
    if (this.#own?.unique.some((own) => sameRecord(own as Answer, record))) return true;
    const text = rdata(record)?.toString('latin1');
    return text !== undefined && (this.#echoes.get(text) ?? 0) > this.#deps.clock.monotonic();
  }

  #noteEchoes(): void {
    const now = this.#deps.clock.monotonic();
    for (const [text, until] of this.#echoes) if (until < now) this.#echoes.delete(text);
    for (const record of this.#own?.unique ?? []) this.#echo(record, now + ECHO_MS);
  }

  #echo(record: OwnRecord, until: number): void {
    const text = rdata(record as Answer)?.toString('latin1');
    if (text !== undefined) this.#echoes.set(text, until);
  }
}

function questionsToAll({ questions }: Heard): string[] {
  return questions.flatMap(({ name, type, class: asked = 'IN' }) => (type === 'PTR' && asked === 'IN' ? [name] : []));
}
