import { createHash } from 'node:crypto';

/** The DNS-SD service type (RFC 6763, section 4). */
export const SERVICE = '_bootplane._tcp.local';
/** Where browsers ask which service types there are (RFC 6763, section 9). */
export const SERVICE_TYPES = '_services._dns-sd._udp.local';

/** A DNS label has 63 bytes at most (RFC 1035); this leaves room for what a rename appends. */
const MAX_LABEL = 56;

export interface Names {
  /** `<label>._bootplane._tcp.local` */
  readonly instance: string;
  /** A host name of our own, so that we never argue with avahi about the machine's. */
  readonly host: string;
}

/**
 * The names under which a node is known on the LAN. `attempt` counts from 1 and grows by one with each
 * conflict. An id that is no label as it stands (too long, or with dots) is shortened and gets a part of
 * its hash; the TXT record carries it whole.
 */
export function namesOf(node_id: string, attempt: number): Names {
  const hash = createHash('sha256').update(node_id).digest('hex');
  const fits = node_id.length <= MAX_LABEL && !node_id.includes('.');
  const label = fits ? node_id : `${node_id.replaceAll('.', '-').slice(0, MAX_LABEL - 9)}-${hash.slice(0, 8)}`;
  const suffix = attempt === 1 ? '' : `-${attempt}`;
  return { instance: `${label}${suffix}.${SERVICE}`, host: `bootplane-${hash.slice(0, 12)}${suffix}.local` };
}

/** DNS compares names without regard to case. */
export function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

export function isInstance(name: string): boolean {
  return name.toLowerCase().endsWith(`.${SERVICE}`);
}
