import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContextOptions, setDefaultCACertificates } from 'node:tls';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import { watchedFile } from './adapters/watched-file.ts';
import type { Config } from './config.ts';
import { messageOf } from './thrown.ts';

/** The certificate or the key can't be used; `message` says which, and why. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

/** The certificate that a node shows to whom dials it. */
export interface Tls {
  /** As it is now. */
  context(): SecureContextOptions;
  /** Called with each one that replaces it. */
  onRenewed(listener: (context: SecureContextOptions) => void): void;
  /** Looks for a renewed one from time to time until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

type TlsConfig = Pick<Config, 'tls_cert' | 'tls_key'>;

/** A connection that says nothing for so long is closed, milliseconds. */
const FIRST_BYTE_WITHIN_MS = 10_000;
export const TLS_LIMITS = { handshakeTimeout: 10_000, minVersion: 'TLSv1.2' } as const;
/** The first byte of each TLS connection: a handshake record (RFC 8446, section 5.1). */
const HANDSHAKE = 0x16;
const WATCH_MS = 10_000;
/** RFC 7468, section 5.1. */
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Reads the certificate and the key of the settings; undefined where none are set. Throws `TlsError`. */
export function openTls({ tls_cert, tls_key }: TlsConfig, { clock, log }: { readonly clock: Clock; readonly log: Log }): Tls | undefined {
  if (tls_cert === undefined || tls_key === undefined) return undefined;
  const paths = [tls_cert, tls_key] as const;
  let now = readPair(...paths);
  const listeners: ((context: SecureContextOptions) => void)[] = [];
  const files = paths.map(watchedFile);
  const version = async () => (await Promise.all(files.map((file) => file.version()))).join('\n');
  let trouble: string | undefined;
  const look = () => {
    try {
      const next = readPair(...paths);
      trouble = undefined;
      if (next.cert === now.cert && next.key === now.key) return;
      now = next;
      for (const listener of listeners) listener(next);
      log.info('new connections are shown the renewed certificate', { path: tls_cert });
    } catch (error) {
      // The certificate and its key are two files: one may be there before the other.
      if (messageOf(error) !== trouble) log.warn(`${messageOf(error)}: the one that was read before is shown on`);
      trouble = messageOf(error);
    }
  };
  return {
    context: () => now,
    onRenewed: (listener) => void listeners.push(listener),
    async run(signal) {
      let known = await version().catch(() => '');
      // What was replaced while the node started.
      look();
      while (!signal.aborted) {
        await clock.sleep(WATCH_MS, signal);
        const found = await version().catch(() => '');
        if (signal.aborted || (found === known && trouble === undefined)) continue;
        known = found;
        look();
      }
    },
  };
}

function readPair(certPath: string, keyPath: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [readText('BOOTPLANE_TLS_CERT', certPath), readText('BOOTPLANE_TLS_KEY', keyPath)];
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new TlsError(`the certificate in ${certPath} and the key in ${keyPath} can't be used together (${messageOf(error)})`, {
      cause: error,
    });
  }
  return { cert, key };
}

function readText(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new TlsError(`${name} names ${path}, which can't be read (${messageOf(error)})`, { cause: error });
  }
}

/** From now on this process also believes certificates that one in the file has signed. Throws `TlsError`. */
export function trustAlso(path: string): void {
  const ca = readText('BOOTPLANE_TLS_CA', path);
  // Node 22.19 and 24.5 brought it.
  if (typeof setDefaultCACertificates !== 'function') {
    throw new TlsError(`BOOTPLANE_TLS_CA needs Node.js 22.19 or 24.5: set NODE_EXTRA_CA_CERTS=${path} instead`);
  }
  const certificates = ca.match(PEM_CERTIFICATE) ?? [];
  try {
    if (certificates.length === 0) throw new Error('no BEGIN CERTIFICATE in it');
    for (const one of certificates) new X509Certificate(one);
  } catch (error) {
    throw new TlsError(`BOOTPLANE_TLS_CA names ${path}, which holds no certificate (${messageOf(error)})`, { cause: error });
  }
  setDefaultCACertificates([...getCACertificates('default'), ...certificates]);
}

/** A server that can end all of its connections, also those that have said nothing yet. */
export type Closable = NetServer & Pick<Server, 'closeAllConnections'>;

/** One port for both: the first byte tells https from plain http. */
export function tellApart(plain: Server, secure: HttpsServer): Closable {
  const open = new Set<Socket>();
  // As the HTTP server itself does it: else each further part of a stream waits for the receipt of the one before.
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    const silent = setTimeout(() => socket.destroy(), FIRST_BYTE_WITHIN_MS).unref();
    const ignore = () => socket.destroy();
    socket.once('error', ignore);
    socket.once('close', () => {
      clearTimeout(silent);
      open.delete(socket);
    });
    socket.once('readable', () => {
      clearTimeout(silent);
      const first: Buffer | null = socket.read(1);
      if (first === null) return void socket.destroy();
      socket.unshift(first);
      socket.off('error', ignore);
      handOver(first[0] === HANDSHAKE ? secure : plain, socket);
    });
  });
  return Object.assign(server, {
    closeAllConnections() {
      for (const socket of open) socket.destroy();
    },
  });
}

function handOver(server: Server | HttpsServer, socket: Socket): void {
  server.emit('connection', socket);
}
