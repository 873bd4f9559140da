import type { Presence as PresenceState } from '../../contract/backlog.ts';
import { backoffMs } from '../../decide/backoff.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Random } from '../../ports/random.ts';

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
  /** Why it counts as away. */
  readonly reason: string | undefined;
  /** Runs a call to the external. Where it turns out to be away this is known at once, and the error goes on to the caller. */
  call<T>(work: () => Promise<T>): Promise<T>;
  /** What waits has grown: it goes over as soon as the external answers. */
  wake(): void;
  /** Probes and forwards until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Milliseconds between two probes of a backend that is away, and between two tries to forward. */
const RETRY = { base_ms: 250, cap_ms: 10_000 };

/** Starts as `away`: until it has answered once, nothing is known to be forwarded. */
export function createPresence(deps: PresenceDeps): Presence {
  return new PresenceLoop(deps);
}

class PresenceLoop implements Presence {
  readonly #deps: PresenceDeps;
  #state: PresenceState = 'away';
  #reason: string | undefined = 'it was not asked yet';
  #wake: (() => void) | undefined;
  #isWoken = false;

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

  wake(): void {
    // The first round after it is back looks at all that waits: until then nothing is gained by asking sooner.
    if (this.#state === 'away') return;
    this.#become('forwarding');
    this.#isWoken = true;
    this.#wake?.();
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const isDone = await this.#round(signal);
      failures = isDone ? 0 : failures + 1;
      if (signal.aborted) return;
      if (isDone && this.#state === 'present') await this.#sleep(signal);
      else await this.#sleep(signal, backoffMs(RETRY, failures, this.#deps.random.next()));
    }
  }

  /** True when the external answered and nothing waits. */
  async #round(signal: AbortSignal): Promise<boolean> {
    this.#isWoken = false;
    try {
      await this.#deps.probe();
      if (this.#state === 'away') this.#toForwarding();
      const isEmpty = await this.#deps.forward(signal);
      if (!isEmpty || this.#isWoken || signal.aborted || this.#state === 'away') return false;
      if (this.#state === 'forwarding') this.#deps.log.info(`${this.#deps.name}: nothing waits any more`);
      this.#become('present');
      return true;
    } catch (error) {
      if (this.#deps.isAway(error)) this.#toAway(error);
      else if (!signal.aborted) this.#deps.log.warn(`${this.#deps.name}: what waits could not go over yet: ${messageOf(error)}`);
      return false;
    }
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
    if (wasHere)
      this.#deps.log.warn(`${this.#deps.name} is away: the embedded default takes what is written, and keeps it: ${this.#reason}`);
    this.#wake?.();
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
    if (signal.aborted) cut();
    if (ms === undefined) await new Promise<void>((resolve) => wait.signal.addEventListener('abort', () => resolve(), { once: true }));
    else await this.#deps.clock.sleep(ms, wait.signal);
    signal.removeEventListener('abort', cut);
    this.#wake = undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
