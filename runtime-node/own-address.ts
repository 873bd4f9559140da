import { hostname, networkInterfaces } from 'node:os';

/** This machine as it registers itself: its name, and the first address that others can reach. */
export function ownAddress(): { host: string; ip: string } {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  const chosen = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return { host: hostname(), ip: chosen?.address ?? '127.0.0.1' };
}

/** The URL under which others reach a node that listens on `host`, when none is configured. */
export function reachableUrl(host: string, port: number, scheme: 'http' | 'https' = 'http'): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return toUrl(everywhere ? ownAddress().ip : host, port, scheme);
}

/** The URL under which this machine reaches itself: plain http, also where others are answered over https. */
export function loopbackUrl(host: string, port: number): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return toUrl(everywhere ? '127.0.0.1' : host, port, 'http');
}

function toUrl(host: string, port: number, scheme: 'http' | 'https'): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
