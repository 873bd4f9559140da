import { decode, encode, type Packet } from 'dns-packet';
import type { Interface } from '../../runtime-node/adapters/mdns/interfaces.ts';
import { type Heard, MDNS_PORT, type OpenWire, type Peer } from '../../runtime-node/adapters/mdns/wire.ts';
import type { Clock } from '../../shared/ports/clock.ts';

/** A packet as a sniffer sees it. */
export interface Sniffed {
  readonly at: number;
  readonly from: string;
  /** Absent: to the group. */
  readonly to?: Peer;
  readonly packet: Heard;
}

/** One network segment in memory. Packets are bytes on their way, come back to their sender too, and take a millisecond. */
export class MulticastSegment {
  readonly #clock: Clock;
  readonly #stations = new Map<string, Set<(packet: Heard, from: Peer) => void>>();
  readonly sniffed: Sniffed[] = [];
  /** What the system says to whoever sends; undefined while all is well. */
  refusal: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What the adapter needs to be a machine at `address`. */
  machine(address: string): { list(): readonly Interface[]; readonly openWire: OpenWire } {
    const isOnLink = () => true;
    const place: Interface = { name: 'v0', family: 'IPv4', bound: address, addresses: [address], isOnLink, key: `v0 ${address}` };
    return {
      list: () => [place],
      openWire: async (_, onPacket) => {
        const stations = this.#stations.get(address) ?? new Set();
        this.#stations.set(address, stations.add(onPacket));
        return {
          send: async (packet, to) => {
            if (this.refusal !== undefined) throw this.refusal;
            this.#send(encode(packet), { address, port: MDNS_PORT }, to);
          },
          close: async () => void stations.delete(onPacket),
        };
      },
    };
  }

  /** A packet of somebody else. */
  say(packet: Packet, from: Peer): void {
    this.#send(encode(packet), from);
  }

  /** Any bytes, at once; false for those that are no packet, which the library drops. */
  hearBytes(bytes: Buffer, from: Peer): boolean {
    const packet = readable(bytes);
    if (packet !== undefined) this.hearRaw(packet, from);
    return packet !== undefined;
  }

  /** The same as it was read: for what the library reads and can't write. */
  hearRaw(packet: Partial<Heard>, from: Peer): void {
    const whole: Heard = { ...toHeard(encode({ type: 'query' })), ...packet };
    for (const stations of this.#stations.values()) for (const station of stations) station(whole, from);
  }

  /** What `address` has sent, from the moment `after` on. */
  of(address: string, type: Heard['type'], after = 0): Sniffed[] {
    return this.sniffed.filter(({ from, packet, at }) => from === address && packet.type === type && at >= after);
  }

  #send(bytes: Buffer, from: Peer, to?: Peer): void {
    const seen = { at: this.#clock.monotonic(), from: from.address, packet: toHeard(bytes), ...(to === undefined ? {} : { to }) };
    this.sniffed.push(seen);
    for (const [address, stations] of this.#stations) {
      if (to !== undefined && to.address !== address) continue;
      for (const station of stations) void this.#clock.sleep(1).then(() => stations.has(station) && station(toHeard(bytes), from));
    }
  }
}

function toHeard(bytes: Buffer): Heard {
  return decode(bytes) as unknown as Heard;
}

function readable(bytes: Buffer): Heard | undefined {
  try {
    return toHeard(bytes);
  } catch {
    return undefined;
  }
}
