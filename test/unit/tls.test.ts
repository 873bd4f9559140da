import { copyFile, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Handler, type HttpServer, listen, withoutStrangers } from '../../runtime-node/http-server.ts';
import { openTls, type Tls, trustAlso } from '../../runtime-node/tls.ts';
import { makeCertificate } from '../support/certificates.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

let folder: string;
let files: { tls_cert: string; tls_key: string };
let clock: SimulatedClock;
let log: ReturnType<typeof recordingLog>;
let server: HttpServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-tls-'));
  const { cert, key } = await makeCertificate(folder, 'first');
  files = { tls_cert: join(folder, 'cert'), tls_key: join(folder, 'key') };
  await copyFile(cert, files.tls_cert);
  await copyFile(key, files.tls_key);
  [clock, log] = [new SimulatedClock(), recordingLog()];
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const echo: Handler = async (got, from) => Response.json({ ...from, url: new URL(got.url).protocol, bytes: (await got.text()).length });

function open(): Tls {
  const tls = openTls(files, { clock, log });
  if (tls === undefined) throw new Error('there is a certificate');
  return tls;
}

async function start(tls = open()): Promise<number> {
  server = await listen(echo, '127.0.0.1', 0, { tls });
  return server.port;
}

/** One call over https that believes only the certificate at `ca`. */
async function ask(port: number, ca: string, body = '', agent?: Agent): Promise<unknown> {
  const trusted = await readFile(ca);
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, ca: trusted, method: 'POST', ...(agent === undefined ? {} : { agent }) },
      async (answer) => {
        let text = '';
        for await (const part of answer) text += part;
        resolve(JSON.parse(text));
      },
    );
    sent.once('error', reject);
    sent.end(body);
  });
}

/** Whose certificate a new connection is shown. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('a port with a certificate', () => {
  it('speaks https and plain http, however long the body is', async () => {
    const port = await start();
    const bytes = 300_000;
    const body = 'x'.repeat(bytes);
    expect(await ask(port, files.tls_cert, body)).toMatchObject({ here: true, secure: true, url: 'https:', bytes });
    const plain = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body });
    expect(await plain.json()).toMatchObject({ here: true, secure: false, url: 'http:', bytes });
  });

  it('keeps connections open for many calls', async () => {
    const port = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let call = 0; call < 5; call += 1) expect(await ask(port, files.tls_cert, 'abc', agent)).toMatchObject({ secure: true, bytes: 3 });
    agent.destroy();
  });

  it('is believed by nobody who does not know who signed it', async () => {
    const port = await start();
    const { cert } = await makeCertificate(folder, 'other');
    await expect(ask(port, cert)).rejects.toThrow(/self.signed|certificate/);
    await expect(fetch(`https://127.0.0.1:${port}/`)).rejects.toThrow();
  });

  it('lives on over connections that say nothing, break off or make no sense', async () => {
    const port = await start();
    const silent = connect(port, '127.0.0.1');
    for (const bytes of [Buffer.from([0x16]), Buffer.from([0x16, 3, 1, 255, 255, 0]), Buffer.from([0, 1, 2]), Buffer.from('GET / HT')]) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => socket.write(bytes, () => socket.resetAndDestroy()));
        socket.once('close', () => resolve());
        socket.once('error', () => undefined);
      });
    }
    expect(await ask(port, files.tls_cert)).toMatchObject({ secure: true });
    silent.destroy();
  });

  it('closes at once, with connections of both kinds open', async () => {
    const port = await start();
    await ask(port, files.tls_cert, '', new Agent({ keepAlive: true }));
    await (await fetch(`http://127.0.0.1:${port}/`)).text();
    await server?.close();
    server = undefined;
    await expect(shown(port)).rejects.toThrow();
  });

  /** Less than a connection may stay silent: nobody waits for that. */
  const AT_ONCE_MS = 8_000;

  it.each([
    ['nothing', ''],
    ['the beginning of a handshake', '\x16\x03\x01'],
  ])(
    'closes at once, with a connection open that has said %s',
    async (_what, said) => {
      const port = await start();
      const socket = connect(port, '127.0.0.1');
      const ended = new Promise<void>((resolve) => {
        socket.once('error', () => undefined);
        socket.once('close', () => resolve());
      });
      socket.write(said);
      // Connections are accepted in their order.
      await ask(port, files.tls_cert);
      await server?.close();
      server = undefined;
      await ended;
    },
    AT_ONCE_MS,
  );

  it('shows a renewed certificate to new connections, and the old one while the new pair is not whole', async () => {
    const tls = open();
    const port = await start(tls);
    const over = new AbortController();
    const running = tls.run(over.signal);
    expect(await shown(port)).toBe('first');
    const { cert, key } = await makeCertificate(folder, 'second');
    const isWaiting = () => vi.waitFor(() => expect(clock.sleeping).toBe(1), { timeout: 120_000, interval: 5 });
    const look = async () => {
      // Coarse clocks of file systems must not hide the change.
      await utimes(files.tls_cert, clock.now() / 1000, clock.now() / 1000);
      await isWaiting();
      await clock.advance(10_000);
      await isWaiting();
    };
    await copyFile(cert, files.tls_cert);
    await look();
    expect(await shown(port)).toBe('first');
    expect(log.lines.map(({ message }) => message)).toEqual([
      expect.stringMatching(/can't be used together .*: the one that was read before is shown on$/),
    ]);
    await copyFile(key, files.tls_key);
    await look();
    expect(await shown(port)).toBe('second');
    over.abort();
    await running;
  });
});

describe('plain http beside https', () => {
  it('is for this machine only', async () => {
    const handler = withoutStrangers(echo);
    const got = new Request('http://192.0.2.7/');
    const stranger = await handler(got, { here: false, secure: false, address: '192.0.2.9' });
    expect(stranger.status).toBe(403);
    expect(await stranger.json()).toMatchObject({ code: 'https_required' });
    expect((await handler(got, { here: true, secure: false, address: '127.0.0.1' })).status).toBe(200);
  });
});

describe('a certificate that can not be used', () => {
  it('says which file, and why', async () => {
    const { key } = await makeCertificate(folder, 'other');
    expect(() => openTls({ ...files, tls_cert: join(folder, 'none') }, { clock, log })).toThrow(
      /BOOTPLANE_TLS_CERT names .*none, which can't be read/,
    );
    expect(() => openTls({ ...files, tls_key: key }, { clock, log })).toThrow(/can't be used together/);
    await writeFile(files.tls_cert, 'no certificate');
    expect(open).toThrow(/can't be used together/);
    for (const text of ['no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----']) {
      await writeFile(files.tls_cert, text);
      expect(() => trustAlso(files.tls_cert)).toThrow(/holds no certificate/);
    }
    expect(() => trustAlso(join(folder, 'none'))).toThrow(/BOOTPLANE_TLS_CA names .*none/);
  });

  it('is none where none is set', () => {
    expect(openTls({}, { clock, log })).toBeUndefined();
  });
});
