import { networkInterfaces } from 'node:os';
import type { Log } from '../shared/ports/log.ts';
import type { Config } from './config.ts';
import { nearest } from './nearest.ts';

/** The addresses of the machine's interfaces by their names, as Node lists them. */
export type Interfaces = Readonly<Record<string, readonly { readonly address: string }[] | undefined>>;

/**
 * Says at the start which settings of the LAN have no effect as the machine stands now. No error: interfaces come and go,
 * and a node that waits for one has work to do meanwhile.
 */
export function warnOfLanSettings(
  { mdns, interfaces, peers, advertise_url }: Pick<Config, 'mdns' | 'interfaces' | 'peers' | 'advertise_url'>,
  log: Pick<Log, 'warn'>,
  found: Interfaces = networkInterfaces(),
): void {
  if (!mdns && interfaces.length > 0) log.warn('BOOTPLANE_INTERFACE has no effect: multicast DNS is turned off (BOOTPLANE_MDNS)');
  if (mdns) for (const name of interfaces) if (!isThere(name, found)) log.warn(missing(name, Object.keys(found)), { interface: name });
  for (const peer of peers) {
    if (peer === advertise_url) log.warn(`BOOTPLANE_PEERS names ${peer}, which is this node itself; it is passed over`);
  }
}

function isThere(wanted: string, found: Interfaces): boolean {
  return Object.entries(found).some(([name, list = []]) => name === wanted || list.some(({ address }) => address === wanted));
}

function missing(name: string, known: readonly string[]): string {
  const close = nearest(name, known);
  const meant = close === undefined ? `this machine has ${known.join(', ') || 'none'}` : `did you mean ${close}?`;
  return `BOOTPLANE_INTERFACE names ${name}, which this machine does not have now (${meant}); it is used as soon as it comes`;
}
