/** What a node says of itself on its LAN. Only a hint: nobody acts on it before a fresh proof. */
export interface Advert {
  readonly fleet: string;
  readonly site: string;
  readonly node_id: string;
  readonly epoch: number;
  readonly url: string;
  /** HMAC-SHA256 under the fleet's discovery key, base64url. */
  readonly signature: string;
}

/** Discovery on the local network (mDNS / DNS-SD `_bootplane._tcp.local`). */
export interface Lan {
  /** Adverts that arrive within `timeout_ms`, each once. Ends early when the consumer stops. */
  browse(timeout_ms: number, signal?: AbortSignal): AsyncIterable<Advert>;
  /** Replaces what this node advertises; undefined says goodbye. */
  advertise(advert: Advert | undefined): Promise<void>;
  close(): Promise<void>;
}
