import { createSocket } from 'node:dgram';
import type { Answer, Packet, Question } from 'dns-packet';
import makeMdns from 'multicast-dns';
import type { Interface } from './interfaces.ts';

/** What was heard. The library's types lack the fields of the header. */
export interface Heard {
  readonly type: 'query' | 'response';
  readonly id: number;
  readonly opcode: string;
  readonly rcode: string;
  readonly flag_tc: boolean;
  readonly questions: readonly Question[];
  readonly answers: readonly Answer[];
  readonly additionals: readonly Answer[];
  readonly authorities: readonly Answer[];
}

export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** The multicast group on one interface. */
export interface Wire {
  /** To the group, or to one peer alone. Rejects when the system refuses it. */
  send(packet: Packet, to?: Peer): Promise<void>;
  close(): Promise<void>;
}

/** Joins the group on an interface. Rejects, with nothing left open, when that is impossible. */
export type OpenWire = (place: Interface, onPacket: (packet: Heard, from: Peer) => void) => Promise<Wire>;

/** `send` is missing in the library's types. */
type Mdns = makeMdns.MulticastDNS & { send(packet: Packet, to: Peer | null, done: (error?: Error | null) => void): void };

const GROUP_V6 = 'ff02::fb';
export const MDNS_PORT = 5353;

export const openWire: OpenWire = async (place, onPacket) => {
  const mdns = makeMdns({
    interface: place.bound,
    port: MDNS_PORT,
    ...(place.family === 'IPv4' ? { bind: '0.0.0.0' } : overIpv6()),
  }) as Mdns;
  const close = () =>
    new Promise<void>((resolve) => {
      try {
        mdns.destroy(resolve);
      } catch {
        resolve();
      }
    });
  try {
    await new Promise<void>((resolve, reject) => {
      mdns.once('ready', resolve);
      mdns.once('error', reject);
      // It only warns when it can't join the group, and would be deaf.
      mdns.once('warning', reject);
    });
  } catch (error) {
    mdns.on('error', () => {});
    await close();
    throw error;
  }
  mdns.removeAllListeners('error');
  mdns.removeAllListeners('warning');
  // What can't be read or sent later is somebody's bad packet, or shows itself at the next send.
  mdns.on('error', () => {});
  mdns.on('warning', () => {});
  mdns.on('packet', (packet: unknown, from: Peer) => {
    // Each socket hears the group on every interface.
    if (place.isOnLink(from.address)) onPacket(toHeard(packet as Heard), from);
  });
  return {
    send: (packet, to) =>
      new Promise((resolve, reject) => {
        mdns.send(packet, to ?? null, (error) => (error ? reject(error) : resolve()));
      }),
    close,
  };
};

function overIpv6() {
  // A socket of its own: the library's would take IPv4 packets away from the other sockets.
  const socket = createSocket({ type: 'udp6', reuseAddr: true, ipv6Only: true });
  return { type: 'udp6', ip: GROUP_V6, bind: '::', socket } as const;
}

/** Without the pseudo-records (EDNS), which have no data. */
function toHeard(packet: Heard): Heard {
  const real = (records: readonly Answer[]) => records.filter(({ type }) => type !== 'OPT');
  return {
    ...packet,
    answers: real(packet.answers),
    additionals: real(packet.additionals),
    authorities: real(packet.authorities),
  };
}
