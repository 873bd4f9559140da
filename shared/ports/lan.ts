/** What a node says of itself on its LAN. Only a hint: nobody acts on it before a fresh proof. */
export interface Advert {
  readonly fleet: string;
  readonly site: string;
  readonly node_id: string;
  /** The highest epoch that the node knows. */
  readonly epoch: number;
  readonly url: string;
  /** HMAC-SHA256 under the fleet's discovery key, base64url; `contract/advert.ts` says of what. */
  readonly signature: string;
}

/** Discovery on the local network (mDNS / DNS-SD `_bootplane._tcp.local`). Loses, doubles and delays like the network itself. */
export interface Lan {
  /**
   * Asks the network and yields the adverts of others, each once: first those that are known and have
   * not expired, then those that arrive within `timeout_ms` (milliseconds). Ends early when the
   * consumer stops or `signal` aborts. Yields whatever claims to be an advert: nothing is verified here.
   */
  browse(timeout_ms: number, signal?: AbortSignal): AsyncIterable<Advert>;
  /**
   * Replaces what this node advertises; undefined says goodbye. Resolves when it was sent, not when it
   * was heard. Rejects with `LanError` when there is no network to say it on; it is said as soon as there is.
   */
  advertise(advert: Advert | undefined): Promise<void>;
  /**
   * Calls `listener` with each advert of another that is new or has changed, asked for or not. Returns
   * how to end it. What the listener throws is logged and goes no further.
   */
  onAdvert(listener: (advert: Advert) => void): () => void;
  /** Says goodbye and frees everything. A second call does nothing. */
  close(): Promise<void>;
}

/** Nothing can be sent on the LAN now; `message` says why. */
export class LanError extends Error {
  override readonly name = 'LanError';
}
