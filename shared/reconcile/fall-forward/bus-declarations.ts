import { sha256Hex } from '../../contract/canonical.ts';
import { Binding, Exchange, Queue } from '../../contract/profile.ts';
import type { Backlog, Ended, Entry, Target } from '../../ports/backlog.ts';
import { BusError, type BusErrorKind, type EventBus } from '../../ports/event-bus.ts';

export type Declaration =
  | { readonly kind: 'exchange'; readonly item: Exchange }
  | { readonly kind: 'queue'; readonly item: Queue }
  | { readonly kind: 'binding'; readonly item: Binding };

/** Tells a bus to have it. */
export function declareIn(bus: EventBus, { kind, item }: Declaration): Promise<void> {
  switch (kind) {
    case 'exchange':
      return bus.ensureExchange(item);
    case 'queue':
      return bus.ensureQueue(item);
    case 'binding':
      return bus.ensureBinding(item);
    default:
      throw new TypeError(`There is no declaration of a ${kind satisfies never}`);
  }
}

/** Answers that another try does not change. */
const FINAL: readonly BusErrorKind[] = ['incompatible', 'unsupported', 'bad_name', 'unauthorized'];
const SOME = 100;

export interface DeclarationsParts {
  readonly external: EventBus;
  readonly backlog: Backlog;
  readonly target: Target;
  /** Told once of each that the external will not have. */
  refused(message: string): void;
}

/**
 * What services declared while the external was away, kept in the backlog: its place is the kind, its key the declaration
 * as JSON. It is there before any message goes over.
 */
export class Declarations {
  readonly #parts: DeclarationsParts;

  constructor(parts: DeclarationsParts) {
    this.#parts = parts;
  }

  async keep({ kind, item }: Declaration): Promise<void> {
    const { backlog, target } = this.#parts;
    const key = JSON.stringify(item);
    await backlog.add([{ ...target, place: kind, key, hash: await sha256Hex(key), size: key.length }]);
  }

  /** False when some have to wait for others' that are not there yet. */
  async forward(): Promise<boolean> {
    const { backlog, target } = this.#parts;
    let isComplete = true;
    let after = 0;
    for (;;) {
      const entries = await backlog.next(target, SOME, after);
      if (entries.length === 0) return isComplete;
      const ended: Ended[] = [];
      for (const entry of entries) {
        const end = await this.#declare(entry);
        if (end === undefined) isComplete = false;
        else ended.push(end);
        after = entry.number;
      }
      await backlog.settle(target, ended);
    }
  }

  async #declare(entry: Entry): Promise<Ended | undefined> {
    const { external, refused } = this.#parts;
    const { number } = entry;
    try {
      await declareIn(external, toDeclaration(entry));
      return { number, state: 'forwarded' };
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      if (error.kind === 'no_such_exchange' || error.kind === 'no_such_queue') return undefined;
      if (!FINAL.includes(error.kind)) throw error;
      refused(`a ${entry.place} that was declared meanwhile is refused: ${error.message}`);
      return { number, state: 'conflict', detail: error.message };
    }
  }
}

/** As it was kept. */
export function toDeclaration({ place, key }: Pick<Entry, 'place' | 'key'>): Declaration {
  const item: unknown = JSON.parse(key);
  if (place === 'exchange') return { kind: place, item: Exchange.parse(item) };
  if (place === 'queue') return { kind: place, item: Queue.parse(item) };
  return { kind: 'binding', item: Binding.parse(item) };
}
