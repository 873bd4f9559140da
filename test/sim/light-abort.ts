/**
 * AbortController and AbortSignal without the weak references of Node's own. There it depends on the garbage collector
 * whether an abort still reaches who listens to a signal that follows another, and a seed would not replay. They are also
 * what a simulated world makes most of, so a reason is made only when somebody asks for it. `light-abort.test.ts` compares
 * them with the real ones.
 */
type Listener = ((event: Event) => void) | { handleEvent(event: Event): void };

/** Stands for the reason of an abort without one until somebody asks for it. */
const UNNAMED = Symbol('an abort without a reason');

const ABORT = Symbol('abort');
const KEPT_REASON = Symbol('the reason as it is kept');

export class LightAbortSignal {
  #aborted = false;
  [KEPT_REASON]: unknown;
  #listeners: Set<Listener> | undefined;
  /** Those that it follows, by strong references and only while somebody listens. */
  readonly #sources: readonly AbortSignal[];
  readonly #follow = (event: Event) => this[ABORT](rawReason(event.target as AbortSignal));

  constructor(sources: readonly AbortSignal[] = []) {
    this.#sources = sources;
  }

  /** A signal that aborts with the first of `signals`. */
  static any(signals: Iterable<AbortSignal>): LightAbortSignal {
    return new LightAbortSignal([...signals]);
  }

  static abort(reason: unknown = UNNAMED): LightAbortSignal {
    const signal = new LightAbortSignal();
    signal[ABORT](reason);
    return signal;
  }

  get aborted(): boolean {
    if (this.#aborted) return true;
    const source = this.#sources.length === 0 ? undefined : this.#sources.find(({ aborted }) => aborted);
    if (source !== undefined) this[ABORT](rawReason(source));
    return source !== undefined;
  }

  get reason(): unknown {
    if (!this.aborted) return undefined;
    if (this[KEPT_REASON] === UNNAMED) this[KEPT_REASON] = new DOMException('This operation was aborted', 'AbortError');
    return this[KEPT_REASON];
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(type: string, listener: Listener | null): void {
    // Nothing but its abort ever happens to a signal, and that only once.
    if (type !== 'abort' || listener === null || this.aborted) return;
    this.#listeners ??= new Set();
    if (this.#listeners.size === 0) for (const source of this.#sources) source.addEventListener('abort', this.#follow);
    this.#listeners.add(listener);
  }

  removeEventListener(type: string, listener: Listener | null): void {
    if (type !== 'abort' || listener === null || this.#listeners?.delete(listener) !== true) return;
    if (this.#listeners.size === 0) this.#leaveSources();
  }

  #leaveSources(): void {
    for (const source of this.#sources) source.removeEventListener('abort', this.#follow);
  }

  [ABORT](reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this[KEPT_REASON] = reason;
    if (this.#listeners === undefined || this.#listeners.size === 0) return;
    this.#leaveSources();
    const event = { type: 'abort', target: this, currentTarget: this } as unknown as Event;
    // One that is taken off by one before it does not hear of it.
    for (const listener of this.#listeners) hear(listener, event);
    this.#listeners = undefined;
  }
}

export class LightAbortController {
  readonly signal = new LightAbortSignal();

  abort(reason: unknown = UNNAMED): void {
    this.signal[ABORT](reason);
  }
}

/** The reason of a signal that has aborted as it is kept, made or not. */
function rawReason(signal: AbortSignal | LightAbortSignal): unknown {
  return signal instanceof LightAbortSignal ? signal[KEPT_REASON] : signal.reason;
}

/** As with every event target: what a listener throws is nobody's but the process's. */
function hear(listener: Listener, event: Event): void {
  try {
    if (typeof listener === 'function') listener(event);
    else listener.handleEvent(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
