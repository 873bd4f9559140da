/** How far requests of one sender may overtake each other. */
const WINDOW = 1024;
/** Senders that are remembered in one epoch. A node that starts again is a new one. */
const SENDERS = 4096;
const NONCE = /^([A-Za-z0-9-]{1,64})\.(\d{1,15})$/;

export interface ReplayMemory {
  /** True the first time that `nonce` (`<sender>.<counter>`) comes in this epoch, false ever after. */
  take(epoch: number, nonce: string): boolean;
}

/**
 * Remembers which nonces were used, in bounded memory and without a clock: per sender the highest
 * counter and the ones right below it (the sliding window of RFC 4303, section 3.4.3). What is older than the
 * window counts as used. A leader that starts again leads at a higher epoch, so nothing has to outlive it.
 */
export function createReplayMemory(): ReplayMemory {
  let current = 0;
  const senders = new Map<string, ReplayWindow>();
  return {
    take(epoch, nonce) {
      const [, sender, counter] = NONCE.exec(nonce) ?? [];
      if (sender === undefined || epoch < current) return false;
      if (epoch > current) senders.clear();
      current = epoch;
      const known = senders.get(sender) ?? new ReplayWindow();
      senders.delete(sender);
      senders.set(sender, known);
      const oldest = senders.size > SENDERS ? senders.keys().next().value : undefined;
      if (oldest !== undefined) senders.delete(oldest);
      return known.take(Number(counter));
    },
  };
}

class ReplayWindow {
  /** By counter modulo its length. */
  readonly #used = new Uint8Array(WINDOW);
  #highest = -1;

  take(counter: number): boolean {
    if (counter <= this.#highest - WINDOW) return false;
    const passed = Math.min(counter - this.#highest, WINDOW);
    for (let step = 0; step < passed; step += 1) this.#used[(counter - step) % WINDOW] = 0;
    this.#highest = Math.max(this.#highest, counter);
    if (this.#used[counter % WINDOW] === 1) return false;
    this.#used[counter % WINDOW] = 1;
    return true;
  }
}
