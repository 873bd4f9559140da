import { type AdvertClaims, type SignedAdvert, signAdvert } from '../contract/advert.ts';
import { heartbeatIntervalMs } from '../decide/ttl.ts';
import type { Lan } from '../ports/lan.ts';
import type { EpochMemory } from './epoch-memory.ts';
import { messageOf } from './json-file.ts';
import type { Standing } from './standing.ts';
import type { DiscoveryDeps } from './types.ts';
import { createWaker } from './waker.ts';

/** What this node says of itself on its LAN. */
export interface Advertiser {
  /** Advertises this node, anew whenever its address or the highest epoch changes, until `signal` aborts. */
  run(lan: Lan, signal: AbortSignal): Promise<void>;
  /** Something that the advert tells may have changed. */
  update(): void;
  /** The advert, signed, as JSON. */
  own(): Promise<string>;
}

type Deps = Pick<DiscoveryDeps, 'config' | 'identity' | 'clock' | 'log' | 'fleetKeys'>;

export function createAdvertiser(
  deps: Deps,
  epochs: Pick<EpochMemory, 'highest'>,
  standing: Pick<Standing, 'phase' | 'ttl_seconds'>,
): Advertiser {
  const { clock, log } = deps;
  const waker = createWaker(clock);
  const sign = cachedSigner(deps, epochs);
  return {
    async run(lan, signal) {
      // Nothing may follow the goodbye of a node that stops.
      const isOver = () => signal.aborted || standing.phase === 'stopping';
      for (let said = ''; !isOver(); ) {
        const advert = await sign();
        if (isOver()) break;
        const text = JSON.stringify(advert);
        if (text !== said) await lan.advertise(advert).catch((error) => log.debug(`nothing is advertised yet: ${messageOf(error)}`));
        said = text;
        // An address may change without a word.
        await waker.wait(signal, heartbeatIntervalMs(standing.ttl_seconds()));
      }
    },
    update: waker.wake,
    own: async () => JSON.stringify(await sign()),
  };
}

/** The signature is made again only when something in the advert has changed. */
function cachedSigner({ config, identity, fleetKeys }: Deps, epochs: Pick<EpochMemory, 'highest'>): () => Promise<SignedAdvert> {
  let last: SignedAdvert | undefined;
  return async () => {
    const claims: AdvertClaims = {
      fleet: config.fleet,
      site: config.site,
      node_id: identity.node_id,
      epoch: epochs.highest,
      url: config.advertise_url(),
    };
    if (last?.epoch !== claims.epoch || last.url !== claims.url) last = { ...claims, signature: await signAdvert(fleetKeys, claims) };
    return last;
  };
}
