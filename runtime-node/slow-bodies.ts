import type { IncomingMessage } from 'node:http';

/** How long the body of a call may take to come in, milliseconds: it is at most a few MiB. */
export const BODY_WITHIN_MS = 60_000;

/** RFC 9110, section 15.5.9. */
const REQUEST_TIMEOUT = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n';

/**
 * Ends a request whose body trickles in. What is uploaded (`PUT`) may take as long as the server allows: an artifact
 * is large. Nearly every body comes with its headers, and costs no timer.
 */
export function limitSlowBody(incoming: IncomingMessage, within_ms: number): void {
  if (incoming.method === 'PUT') return;
  setImmediate(() => {
    if (incoming.complete || incoming.destroyed) return;
    const timer = setTimeout(() => {
      if (!incoming.complete) incoming.socket.end(REQUEST_TIMEOUT, () => incoming.destroy());
    }, within_ms);
    timer.unref();
    incoming.once('close', () => clearTimeout(timer));
  });
}
