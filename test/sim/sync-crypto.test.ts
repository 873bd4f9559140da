import { describe, expect, it } from 'vitest';
import { createSyncSubtle } from './sync-crypto.ts';

/** The real Web Crypto of this process, and the one of simulated worlds. */
const sides = { real: crypto.subtle, simulated: createSyncSubtle() as unknown as SubtleCrypto };
const bytes = (text: string) => new TextEncoder().encode(text);
const hex = (data: ArrayBuffer) => Buffer.from(data).toString('hex');

async function both<T>(act: (subtle: SubtleCrypto) => Promise<T>): Promise<[T, T]> {
  return [await act(sides.real), await act(sides.simulated)];
}

describe('the Web Crypto of simulated worlds gives what the real one gives', () => {
  it('for SHA-256, also when it is asked again', async () => {
    const [real, simulated] = await both(async (subtle) => {
      const marks = [bytes('abc'), bytes('abd'), bytes('abc')].map(async (text) => hex(await subtle.digest('SHA-256', text)));
      return Promise.all(marks);
    });
    expect(simulated).toEqual(real);
  });

  it('for HMAC under two keys, also when what it gave before was changed', async () => {
    const [real, simulated] = await both(async (subtle) => {
      const marks: string[] = [];
      for (const name of ['one', 'other', 'one']) {
        const key = await subtle.importKey('raw', bytes(name), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
        const mark = await subtle.sign('HMAC', key, bytes('text'));
        marks.push(hex(mark));
        new Uint8Array(mark).fill(0);
        marks.push(String(await subtle.verify('HMAC', key, mark, bytes('text'))));
      }
      return marks;
    });
    expect(simulated).toEqual(real);
  });

  it('for HKDF and HMAC', async () => {
    const [real, simulated] = await both(async (subtle) => {
      const root = await subtle.importKey('raw', bytes('a fleet key'), 'HKDF', false, ['deriveBits']);
      const derived = await subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: bytes('salt'), info: bytes('info') }, root, 256);
      const key = await subtle.importKey('raw', derived, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
      const mark = await subtle.sign('HMAC', key, bytes('text'));
      const verdicts = [await subtle.verify('HMAC', key, mark, bytes('text')), await subtle.verify('HMAC', key, mark, bytes('other'))];
      return { derived: hex(derived), mark: hex(mark), verdicts };
    });
    expect(simulated).toEqual(real);
    expect(real.verdicts).toEqual([true, false]);
  });

  it('for Ed25519, also when it is asked again', async () => {
    const seed = Uint8Array.from({ length: 32 }, (_, index) => index);
    const pkcs8 = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20, ...seed]);
    const [real, simulated] = await both(async (subtle) => {
      const key = await subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign']);
      const { x = '' } = await subtle.exportKey('jwk', key);
      const open = await subtle.importKey('jwk', { kty: 'OKP', crv: 'Ed25519', x }, 'Ed25519', true, ['verify']);
      const marks = [await subtle.sign('Ed25519', key, bytes('plan')), await subtle.sign('Ed25519', key, bytes('plan'))];
      const [mark = new ArrayBuffer()] = marks;
      const verdicts = [
        await subtle.verify('Ed25519', open, mark, bytes('plan')),
        await subtle.verify('Ed25519', open, mark, bytes('other')),
      ];
      return { x, marks: marks.map(hex), verdicts };
    });
    expect(simulated).toEqual(real);
    expect(real.verdicts).toEqual([true, false]);
  });
});
