/** True for a URL on the way to which nobody can read what is sent: https, or inside this machine. Throws as `isLoopback`. */
export function isPrivateWire(url: string): boolean {
  return url.startsWith('https:') || isLoopback(url);
}

/** True when a URL can only reach the machine itself. Throws a `TypeError` for a text that is no URL. */
export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}
