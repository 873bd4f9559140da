import { readFileSync } from 'node:fs';
import { BlockList, isIPv4 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** One interface of this machine, as multicast DNS uses it. */
export interface Interface {
  readonly name: string;
  readonly family: 'IPv4' | 'IPv6';
  /** What the socket is bound to: an IPv4 address, or `::%name`. */
  readonly bound: string;
  /** All addresses that others on this interface may dial, without zones. */
  readonly addresses: readonly string[];
  /** True for a sender on the same link (RFC 6762, section 11). */
  isOnLink(address: string): boolean;
  /** Differs when anything differs that makes a socket deaf, the same name and address on a new device too. */
  readonly key: string;
}

/**
 * The interfaces to use: those named (by name or by address), or all but loopback. IPv4 where an interface
 * has it; IPv6 where it has nothing else, since nodes dial an IPv4 address when there is one.
 */
export function listInterfaces(wanted: readonly string[], all: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces()): Interface[] {
  return Object.entries(all).flatMap(([name, infos = []]) => {
    const named = wanted.includes(name) || infos.some(({ address }) => wanted.includes(address));
    const used = wanted.length === 0 ? infos.some(({ internal }) => !internal) : named;
    return used ? toInterface(name, infos) : [];
  });
}

function toInterface(name: string, infos: readonly NetworkInterfaceInfo[]): Interface[] {
  const v4 = infos.filter(({ family }) => family === 'IPv4');
  const chosen = v4[0] ?? infos[0];
  if (chosen === undefined) return [];
  const subnets = toSubnets(infos);
  const addresses = infos.map(({ address }) => address);
  return [
    {
      name,
      family: chosen.family,
      bound: chosen.family === 'IPv4' ? chosen.address : `::%${name}`,
      addresses,
      isOnLink: (address) => {
        const [plain = '', zone] = address.split('%');
        return (zone === undefined || zone === name) && subnets.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
      },
      key: JSON.stringify([name, indexOf(name), infos.map(({ cidr, mac }) => [cidr, mac])]),
    },
  ];
}

function toSubnets(infos: readonly NetworkInterfaceInfo[]): BlockList {
  const subnets = new BlockList();
  for (const { cidr, address, family } of infos) {
    const prefix = Number(cidr?.split('/')[1]);
    if (Number.isInteger(prefix)) subnets.addSubnet(address, prefix, family === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  return subnets;
}

/** Linux counts devices: one that was made anew has another number. Undefined elsewhere. */
function indexOf(name: string): string | undefined {
  try {
    return readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
