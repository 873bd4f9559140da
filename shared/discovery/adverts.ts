import { heartbeatIntervalMs, lookIntervalMs } from '../decide/ttl.ts';
import { type Checked, checkAdvert, createAdvertVerifier, tellsNews } from './advert-check.ts';
import { createAdvertiser } from './advertise.ts';
import type { Candidate } from './candidate.ts';
import type { EpochMemory } from './epoch-memory.ts';
import { createHeardLately } from './heard-lately.ts';
import type { Peers } from './peers.ts';
import type { Standing } from './standing.ts';
import type { DiscoveryDeps } from './types.ts';

/** What this node says of itself on its LAN, and what it hears there. All of it is only a hint. */
export interface Adverts {
  /** Advertises this node, anew whenever its address or the highest epoch changes, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Something that an advert tells may have changed. */
  update(): void;
  /** This node's own, signed, as JSON. */
  own(): Promise<string>;
  check(advert: unknown, via: Candidate['via']): Promise<Checked>;
  /** One that nobody asked for, from the LAN or from a peer that asked this node. Where it tells of something new it is kept for the next look, and whoever listens is told. */
  hear(advert: unknown, via: Candidate['via']): Promise<void>;
  /** True when an advert of this origin came by multicast not long ago, which then reaches it as well. */
  isOnMulticast(url: string): boolean;
  /** Those that told of something new since the last call. */
  take(): Candidate[];
  /** True when `take` would give something. */
  hasNews(): boolean;
  /** Returns how to end it. */
  onNews(listener: () => void): () => void;
  /** Says in the log, once for each address and reason, that a candidate is ignored. */
  ignored(url: string, reason: string): void;
}

type Deps = Pick<DiscoveryDeps, 'config' | 'identity' | 'clock' | 'log' | 'fleetKeys' | 'lan'>;

/** Bounds what a hostile network can make a node remember, and write into its log in an hour. */
const MAX_REMEMBERED = 256;
const TOLD_AGAIN_MS = 3_600_000;
/**
 * An advert that has not changed is told only to who browses, as each look at everybody does: whoever none of so many has
 * found is not there any more, or multicast does not reach it.
 */
const MISSED_LOOKS = 2;

export function createAdverts(deps: Deps, epochs: Pick<EpochMemory, 'highest'>, standing: Standing, peers: Peers): Adverts {
  const { clock } = deps;
  const listeners = new Set<() => void>();
  const looked = new Map<string, number>();
  const fresh = new Map<string, Candidate>();
  const multicast = createHeardLately(clock, () => MISSED_LOOKS * lookIntervalMs(undefined, standing.ttl_seconds()));
  const verify = createAdvertVerifier(deps);
  const check = async (advert: unknown, via: Candidate['via']) => {
    const checked = await checkAdvert({ ...deps, verify }, epochs, advert, via);
    if ('candidate' in checked && via === 'mdns') multicast.note(checked.candidate.url);
    return checked;
  };
  const advertiser = createAdvertiser(deps, epochs, standing);
  const ignored = createTold(deps);

  const adverts: Adverts = {
    async run(signal) {
      const { lan } = deps;
      if (lan === undefined) return;
      const unsubscribe = lan.onAdvert((advert) => void adverts.hear(advert, 'mdns'));
      await advertiser.run(lan, signal);
      unsubscribe();
    },
    update: advertiser.update,
    own: advertiser.own,
    check,
    async hear(advert, via) {
      const checked = await check(advert, via);
      if ('refused' in checked) adverts.ignored(urlOf(advert), checked.refused);
      if (!('candidate' in checked)) return;
      const { candidate } = checked;
      const { url, node_id, epoch } = candidate;
      await peers.hearOf(candidate);
      if (!tellsNews(deps, standing.located, candidate)) return;
      const key = JSON.stringify([url, node_id, epoch]);
      const before = looked.get(key);
      if (before !== undefined && clock.monotonic() - before < heartbeatIntervalMs(standing.ttl_seconds())) return;
      bounded(looked).set(key, clock.monotonic());
      bounded(fresh).set(url, candidate);
      for (const listener of [...listeners]) listener();
    },
    isOnMulticast: multicast.has,
    take() {
      const taken = [...fresh.values()];
      fresh.clear();
      return taken;
    },
    hasNews: () => fresh.size > 0,
    onNews(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ignored,
  };
  return adverts;
}

function urlOf(advert: unknown): string {
  const url = typeof advert === 'object' && advert !== null && 'url' in advert ? advert.url : undefined;
  return typeof url === 'string' ? url.slice(0, 256) : 'an unknown address';
}

/** Each once. When it is full nothing more is told for an hour: whoever forges adverts must not fill the disk. */
function createTold({ clock, log }: Pick<Deps, 'clock' | 'log'>): Adverts['ignored'] {
  const told = new Set<string>();
  let since = Number.NEGATIVE_INFINITY;
  return (url, reason) => {
    const key = `${url} ${reason}`;
    const now = clock.monotonic();
    if (told.has(key)) return;
    if (told.size >= MAX_REMEMBERED && now - since >= TOLD_AGAIN_MS) told.clear();
    if (told.size >= MAX_REMEMBERED) return;
    if (told.size === 0) since = now;
    told.add(key);
    log.warn(`an advert for ${url} is ignored: ${reason}`, { url });
    if (told.size === MAX_REMEMBERED) log.warn(`${MAX_REMEMBERED} different adverts were ignored; no more of them are told for an hour`);
  };
}

/** Starts anew when it is full: then something is looked at twice. */
function bounded<T extends { readonly size: number; clear(): void }>(kept: T): T {
  if (kept.size >= MAX_REMEMBERED) kept.clear();
  return kept;
}
