import type { Presence as PresenceState } from '../../contract/backlog.ts';
import { backoffMs } from '../../decide/backoff.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Random } from '../../ports/random.ts';
import { messageOf } from '../wording.ts';

export interface PresenceDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For people, as `storage (s3 at http://192.0.2.9:9000)`. */
  readonly name: string;
  /** A small read of the external that tells whether it answers. */
  probe(): Promise<void>;
  /** True for the error of a backend that does not answer, false for an answer that is an error. */
  isAway(error: unknown): boolean;
  /**
   * Copies all that waits. Called when the external answers, again and again until it resolves with true: nothing waits
   * any more. False: something is missing yet, as an environment that is not applied. May reject; an away error ends it.
   */
  forward(signal: AbortSignal): Promise<boolean>;
  /** Told after the state has changed. Never throws. */
  changed?(): void;
}

/** Whether an external answers now, and what follows from that. */
export interface Presence {
  readonly state: PresenceState;
  /** Why it counts as away; or, where it answers, the error of the last try to let go over what waits. */
  readonly reason: string | undefined;
  /** Runs a call to the external. Where it turns out to be away this is known at once, and the error goes on to the caller. */
  call<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Resolves when the first question since `run` is answered, or takes too long. Before `run` nobody asks: then at once.
   * Who waits for it does not take an external for away that answers a moment after the start.
   */
  asked(): Promise<void>;
  /** What waits has grown, or may go now: it goes over as soon as the external answers, without waiting for the next try. */
  wake(): void;
  /** What waits has grown. Where something waits already this starts no try of its own, so that many writes are not as many tries. */
  grown(): void;
  /** Probes and forwards until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Milliseconds between two probes of a backend that is away, and between two tries to forward. */
const RETRY = { base_ms: 250, cap_ms: 10_000 };
/** So long a call waits for the first answer. */
const FIRST_ANSWER_MS = 2000;

/** `done`: nothing waits any more. `again`: more came meanwhile. `later`: what waits can't go now. */
type Round = 'done' | 'again' | 'later';

/** Starts as `away`: until it has answered once, nothing is known to be forwarded. */
export function createPresence(deps: PresenceDeps): Presence {
  return new PresenceLoop(deps);
}

class PresenceLoop implements Presence {
  readonly #deps: PresenceDeps;
  #state: PresenceState = 'away';
  #reason: string | undefined = 'it has not answered yet';
  /** What the last failed round was told of with: the same is not told at each try. */
  #warned: string | undefined;
  #asked = Promise.resolve();
  #wake: (() => void) | undefined;
  #isWoken = false;
  #hasGrown = false;

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
  }

  get state(): PresenceState {
    return this.#state;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  async call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (this.#deps.isAway(error)) this.#toAway(error);
      throw error;
    }
  }

  asked(): Promise<void> {
    return this.#asked;
  }

  wake(): void {
    // The first round after it is back looks at all that waits: until then nothing is gained by asking sooner.
    if (this.#state === 'away') return;
    this.#become('forwarding');
    this.#isWoken = true;
    this.#wake?.();
  }

  grown(): void {
    if (this.#state === 'present') this.wake();
    this.#hasGrown = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const first = Promise.withResolvers<void>();
    this.#asked = this.#atMost(FIRST_ANSWER_MS, first.promise);
    for (let failures = 0; !signal.aborted; ) {
      const round = await this.#round(signal, first.resolve);
      failures = round === 'later' ? failures + 1 : 0;
      if (signal.aborted) break;
      // A call may have found it away since: then it is asked at once.
      if (round === 'done' && this.#state === 'present') await this.#sleep(signal);
      if (round === 'later') await this.#sleep(signal, backoffMs(RETRY, failures, this.#deps.random.next()));
    }
    first.resolve();
  }

  async #round(signal: AbortSignal, answered: () => void): Promise<Round> {
    this.#isWoken = false;
    this.#hasGrown = false;
    try {
      await this.#probe(answered, signal);
      const isEmpty = await this.#deps.forward(signal);
      if (this.#state !== 'away') this.#reason = undefined;
      this.#warned = undefined;
      if (!isEmpty || signal.aborted || this.#state === 'away') return 'later';
      if (this.#isWoken || this.#hasGrown) return 'again';
      if (this.#state === 'forwarding') this.#deps.log.info(`${this.#deps.name}: nothing waits any more`);
      this.#become('present');
      return 'done';
    } catch (error) {
      if (this.#deps.isAway(error)) this.#toAway(error);
      else if (!signal.aborted) this.#refused(error);
      return 'later';
    }
  }

  /** An answer that is an error is an answer: callers get theirs too, instead of writing to the embedded default for ever. */
  async #probe(answered: () => void, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.probe();
      if (this.#state === 'away') this.#toForwarding();
    } catch (error) {
      // A port that is being closed says nothing about the external.
      if (this.#state === 'away' && !signal.aborted && !this.#deps.isAway(error)) this.#toForwarding();
      throw error;
    } finally {
      answered();
    }
  }

  async #atMost(ms: number, event: Promise<void>): Promise<void> {
    const wait = new AbortController();
    await Promise.race([event, this.#deps.clock.sleep(ms, wait.signal)]);
    wait.abort();
  }

  #become(state: PresenceState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#deps.changed?.();
  }

  #toAway(error: unknown): void {
    const wasHere = this.#state !== 'away';
    this.#reason = messageOf(error);
    this.#become('away');
    if (!wasHere) return;
    this.#deps.log.warn(`${this.#deps.name} is away: the embedded default takes what is written, and keeps it: ${this.#reason}`);
    this.#wake?.();
  }

  /** It answers, and its answer is an error: people have to see that, for it may be the same one for ever. */
  #refused(error: unknown): void {
    const message = messageOf(error);
    if (this.#state !== 'away') this.#reason = message;
    const level = this.#warned === message ? 'debug' : 'warn';
    this.#warned = message;
    this.#deps.log[level](`${this.#deps.name}: what waits could not go over yet: ${message}`);
  }

  #toForwarding(): void {
    this.#reason = undefined;
    this.#become('forwarding');
    this.#deps.log.info(`${this.#deps.name} answers: what waited goes over now`);
  }

  async #sleep(signal: AbortSignal, ms?: number): Promise<void> {
    if (this.#isWoken) return;
    const wait = new AbortController();
    const cut = () => wait.abort();
    this.#wake = cut;
    signal.addEventListener('abort', cut, { once: true });
    if (ms === undefined) await new Promise<void>((resolve) => wait.signal.addEventListener('abort', () => resolve(), { once: true }));
    else await this.#deps.clock.sleep(ms, wait.signal);
    signal.removeEventListener('abort', cut);
    this.#wake = undefined;
  }
}
