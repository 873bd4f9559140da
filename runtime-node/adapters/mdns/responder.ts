import type { Answer, Packet, Question } from 'dns-packet';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { sameName } from './names.ts';
import { alsoWanted, type OwnRecord, type OwnRecords, sameRecord, toLegacy, toSend } from './records.ts';
import { type Heard, MDNS_PORT, type Peer } from './wire.ts';

/** RFC 6762, section 6: no record is said to all more often than once a second; a probe is answered at once, but not more often than this. */
const SAID_AGAIN_MS = 1000;
const DEFENDED_AGAIN_MS = 250;
/** When others may answer too, nobody answers at once (section 6); after a truncated question the rest is waited for (section 7.2). */
const SHARED_DELAY_MS = [20, 120] as const;
const TRUNCATED_DELAY_MS = [400, 500] as const;
/** Answers to one peer alone: so many at once, and so many a second. */
const UNICAST_BURST = 30;
/** How many senders of truncated questions are waited for at a time. */
const MAX_TRUNCATED = 16;

/** `dns-packet` leaves the bit of a question that wants a unicast answer in the class. */
const WANTS_UNICAST = new Map([
  ['UNKNOWN_32769', 'IN'],
  ['UNKNOWN_33023', 'ANY'],
]);

export interface ResponderDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** What this interface says; undefined while it may not say anything. */
  records(): OwnRecords | undefined;
  send(packet: Packet, to?: Peer): Promise<void>;
  readonly signal: AbortSignal;
}

interface Pending {
  readonly records: Set<OwnRecord>;
}

/** Answers questions about the names of this node, and no others (RFC 6762, sections 6 and 7). */
export class Responder {
  readonly #deps: ResponderDeps;
  readonly #saidAt = new Map<string, number>();
  readonly #truncated = new Map<string, Pending>();
  #pending: Pending | undefined;
  #unicast = { left: UNICAST_BURST, at: 0 };

  constructor(deps: ResponderDeps) {
    this.#deps = deps;
  }

  hear(packet: Heard, from: Peer): void {
    const own = this.#deps.records();
    if (own === undefined) return;
    if (packet.questions.length === 0) this.#hearMoreKnown(packet, from);
    const asked = packet.questions.filter(({ class: asked = 'IN' }) => asked === 'IN' || asked === 'ANY' || WANTS_UNICAST.has(asked));
    const answers = answersTo(asked, own).filter((record) => !isKnown(record, packet.answers));
    if (answers.length === 0) return;
    if (from.port !== MDNS_PORT) this.#answerLegacy(packet, answers, own, from);
    else if (packet.authorities.length > 0) this.#say(answers, own, DEFENDED_AGAIN_MS);
    else if (packet.flag_tc) this.#answerTruncated(answers, from);
    else if (asked.every((question) => WANTS_UNICAST.has(String(question.class))) && this.#isFresh(answers))
      this.#answerOne(answers, own, from);
    else this.#answerAll(answers);
  }

  /** It was said to all by other means: an announcement. */
  noteSaid(records: readonly OwnRecord[]): void {
    const now = this.#deps.clock.monotonic();
    for (const record of records) this.#saidAt.set(keyOf(record), now);
  }

  #answerAll(answers: readonly OwnRecord[]): void {
    if (this.#pending !== undefined) {
      for (const record of answers) this.#pending.records.add(record);
      return;
    }
    const pending = { records: new Set(answers) };
    this.#pending = pending;
    // What is ours alone can't collide with another's answer, so nobody has to wait for it.
    const shared = answers.some(({ flush }) => !flush);
    void this.#later(shared ? this.#between(SHARED_DELAY_MS) : 0, () => {
      this.#pending = undefined;
      this.#sayPending(pending);
    });
  }

  #answerTruncated(answers: readonly OwnRecord[], { address }: Peer): void {
    if (this.#truncated.size >= MAX_TRUNCATED || this.#truncated.has(address)) {
      this.#answerAll(answers);
      return;
    }
    const pending = { records: new Set(answers) };
    this.#truncated.set(address, pending);
    void this.#later(this.#between(TRUNCATED_DELAY_MS), () => {
      this.#truncated.delete(address);
      this.#sayPending(pending);
    });
  }

  #hearMoreKnown({ answers }: Heard, { address }: Peer): void {
    const pending = this.#truncated.get(address);
    for (const record of pending?.records ?? []) if (isKnown(record, answers)) pending?.records.delete(record);
  }

  #sayPending({ records }: Pending): void {
    const own = this.#deps.records();
    if (own === undefined) return;
    // They may have changed while this waited.
    const current = [...own.shared, ...own.unique];
    const still = current.filter((record) => [...records].some((one) => keyOf(one) === keyOf(record)));
    this.#say(still, own, SAID_AGAIN_MS);
  }

  #say(answers: readonly OwnRecord[], own: OwnRecords, interval: number): void {
    const now = this.#deps.clock.monotonic();
    const due = (record: OwnRecord) => now - (this.#saidAt.get(keyOf(record)) ?? Number.NEGATIVE_INFINITY) >= interval;
    const said = answers.filter(due);
    if (said.length === 0) return;
    const additionals = alsoWanted(said, own);
    this.noteSaid([...said, ...additionals]);
    void this.#deps.send(response(said, additionals)).catch(() => {});
  }

  /** Said to all within the last quarter of its life, so the others know it (RFC 6762, section 5.4). */
  #isFresh(answers: readonly OwnRecord[]): boolean {
    const now = this.#deps.clock.monotonic();
    return answers.every((record) => now - (this.#saidAt.get(keyOf(record)) ?? Number.NEGATIVE_INFINITY) < (record.ttl * 1000) / 4);
  }

  #answerOne(answers: readonly OwnRecord[], own: OwnRecords, to: Peer): void {
    if (this.#mayAnswerOne()) void this.#deps.send(response(answers, alsoWanted(answers, own)), to).catch(() => {});
  }

  /** To a resolver that knows nothing of multicast DNS: as an ordinary name server would (RFC 6762, section 6.7). */
  #answerLegacy({ id, questions }: Heard, answers: readonly OwnRecord[], own: OwnRecords, to: Peer): void {
    if (!this.#mayAnswerOne()) return;
    const repeated = questions.map(({ name, type }): Question => ({ name, type, class: 'IN' }));
    const additionals = alsoWanted(answers, own).map(toLegacy);
    const packet: Packet = { ...response([], []), id, questions: repeated, answers: answers.map(toLegacy), additionals };
    void this.#deps.send(packet, to).catch(() => {});
  }

  #mayAnswerOne(): boolean {
    const now = this.#deps.clock.monotonic();
    const left = Math.min(UNICAST_BURST, this.#unicast.left + ((now - this.#unicast.at) / 1000) * UNICAST_BURST);
    this.#unicast = { left: Math.max(0, left - 1), at: now };
    return left >= 1;
  }

  #between([least, most]: readonly [number, number]): number {
    return least + this.#deps.random.next() * (most - least);
  }

  async #later(ms: number, work: () => void): Promise<void> {
    const { clock, signal } = this.#deps;
    await clock.sleep(ms, signal);
    if (!signal.aborted) work();
  }
}

/** An authoritative answer without questions. */
export function response(answers: readonly OwnRecord[], additionals: readonly OwnRecord[], ttl?: number): Packet {
  const AUTHORITATIVE = 1 << 10;
  const all = (records: readonly OwnRecord[]) => records.map((record) => toSend(record, ttl));
  return { type: 'response', flags: AUTHORITATIVE, answers: all(answers), additionals: all(additionals) };
}

function answersTo(questions: readonly Question[], { shared, unique }: OwnRecords): OwnRecord[] {
  return [...shared, ...unique].filter((record) =>
    questions.some(({ name, type }) => sameName(name, record.name) && (type === record.type || (type as string) === 'ANY')),
  );
}

/** Known to the one who asks, with at least half of its life left (RFC 6762, section 7.1). */
function isKnown(record: OwnRecord, known: readonly Answer[]): boolean {
  return known.some((one) => 'ttl' in one && (one.ttl ?? 0) >= record.ttl / 2 && sameRecord(one, record));
}

function keyOf({ name, type, data }: OwnRecord): string {
  return `${type} ${name} ${JSON.stringify(data)}`;
}
