import type { Queue } from '../../contract/profile.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Declared, EmbeddedBus, EventBus } from '../../ports/event-bus.ts';
import type { Log } from '../../ports/log.ts';
import { bindingKey } from '../broker-diff.ts';
import { isReserved } from './bus-message.ts';

/**
 * How long what is declared in the embedded bus and missing in the external holds up the rest. Whoever reconciles needs
 * less; what nobody's profile names any more never comes.
 */
const GRACE_MS = 60_000;
/** A look that found something missing is good for this long. */
const FRESH_MS = 1000;

interface Missing {
  readonly queues: ReadonlySet<string>;
  /** For people; those of queues, exchanges and bindings. */
  readonly names: readonly string[];
  readonly at: number;
}

export interface EnvironmentParts {
  readonly external: EventBus;
  readonly fallback: EmbeddedBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly name: string;
}

/** Whether the external has what is declared in the embedded bus. Looks once each time that the external comes back. */
export class Environment {
  readonly #parts: EnvironmentParts;
  #missing: Missing | undefined;
  #since: number | undefined;
  #isApplied = false;
  #queues = new Map<string, Queue>();
  #said = '';

  constructor(parts: EnvironmentParts) {
    this.#parts = parts;
  }

  /** The external is away: nothing is known of it any more. */
  forget(): void {
    this.#missing = undefined;
    this.#since = undefined;
    this.#isApplied = false;
  }

  /** It was brought to the profile: what is missing now is not waited for. */
  applied(): void {
    this.#missing = undefined;
    this.#isApplied = true;
  }

  /** Something turned out to be missing. */
  lookAgain(): void {
    this.#missing = undefined;
  }

  /** Whether messages can go to its exchanges: nothing is missing, or nothing that is waited for. */
  async isComplete(): Promise<boolean> {
    const now = this.#parts.clock.monotonic();
    this.#since ??= now;
    const { names } = await this.#look(now);
    if (names.length === 0) return true;
    const isOver = this.#isApplied || now - this.#since >= GRACE_MS;
    this.#say(names, isOver);
    return isOver;
  }

  /** As far as it was looked at. */
  lacks(queue: string): boolean {
    return this.#missing?.queues.has(queue) ?? false;
  }

  /** As it is declared here, as far as it was looked at. */
  queue(name: string): Queue | undefined {
    return this.#queues.get(name);
  }

  async #look(now: number): Promise<Missing> {
    const known = this.#missing;
    if (known !== undefined && (known.names.length === 0 || now - known.at < FRESH_MS)) return known;
    const { external, fallback } = this.#parts;
    const wanted = withoutReserved(await fallback.declared());
    this.#queues = new Map(wanted.queues.map((queue) => [queue.name, queue]));
    const names = { exchanges: wanted.exchanges.map(({ name }) => name), queues: wanted.queues.map(({ name }) => name) };
    const found = await external.readTopology({ ...names, bindings: wanted.bindings });
    const exchanges = without(names.exchanges, found.exchanges);
    const queues = without(names.queues, found.queues);
    const bound = new Set(found.bindings.map(bindingKey));
    const unbound = found.bindings_unread === undefined ? wanted.bindings.filter((binding) => !bound.has(bindingKey(binding))) : [];
    const all = [
      ...exchanges.map((name) => `exchange ${name}`),
      ...queues.map((name) => `queue ${name}`),
      ...unbound.map(({ exchange, queue, key }) => `binding ${exchange} → ${queue} (${key})`),
    ];
    this.#missing = { queues: new Set(queues), names: all, at: now };
    return this.#missing;
  }

  #say(names: readonly string[], isOver: boolean): void {
    const some = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`;
    const what = isOver ? 'what they hold stays here until they are' : 'messages are kept here until they are';
    const said = `${this.#parts.name} has not all that is declared here (${some}): ${what}`;
    if (said !== this.#said) this.#parts.log.info(said);
    this.#said = said;
  }
}

function withoutReserved({ exchanges, queues, bindings }: Declared): Declared {
  return {
    exchanges: exchanges.filter(({ name }) => !isReserved(name)),
    queues: queues.filter(({ name }) => !isReserved(name)),
    bindings: bindings.filter(({ exchange }) => !isReserved(exchange)),
  };
}

function without(names: readonly string[], found: readonly { name: string }[]): string[] {
  const there = new Set(found.map(({ name }) => name));
  return names.filter((name) => !there.has(name));
}
