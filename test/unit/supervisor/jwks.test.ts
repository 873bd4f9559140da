import { beforeAll, describe, expect, it, vi } from 'vitest';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { createTextJwks } from '../../../shared/supervisor/tokens/jwks-text.ts';
import { createUrlJwks, JWKS_BYTES } from '../../../shared/supervisor/tokens/jwks-url.ts';
import { chooseKey, KeySetError, readKeySet } from '../../../shared/supervisor/tokens/key-set.ts';
import { whyNotJwksUrl } from '../../../shared/supervisor/tokens/settings.ts';
import { createTokenVerifier } from '../../../shared/supervisor/tokens/verifier.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, type MadeKey, makeKey, sign } from '../../support/token-issuer.ts';

const URL_OF_KEYS = 'https://id.example.com/jwks.json';

let first: MadeKey;
let second: MadeKey;
beforeAll(async () => {
  [first, second] = await Promise.all([makeKey('first', 'EdDSA'), makeKey('second', 'EdDSA')]);
});

/** An issuer whose answers a test sets. */
function issuer(answer: () => Response | Promise<Response>) {
  const [clock, log] = [new SimulatedClock(), recordingLog()];
  let asked = 0;
  const fetch = async (request: Request) => {
    asked += 1;
    expect(request.url).toBe(URL_OF_KEYS);
    return answer();
  };
  const source = createUrlJwks({ url: URL_OF_KEYS, fetch, clock, log });
  const kids = async () => (await source.current()).keys.map(({ kid }) => kid);
  return { clock, log, source, kids, asked: () => asked, warnings: () => log.lines.map(({ message }) => message) };
}

const jwks = (text: string, headers: Record<string, string> = {}) => new Response(text, { headers });

describe('the keys at a URL', () => {
  it('are read once and held for ten minutes where nothing else is said', async () => {
    const { clock, kids, asked } = issuer(() => jwks(jwksOf(first)));
    expect([await kids(), await kids()]).toEqual([['first'], ['first']]);
    expect(asked()).toBe(1);
    await clock.advance(599_999);
    await kids();
    expect(asked()).toBe(1);
    await clock.advance(1);
    await kids();
    expect(asked()).toBe(2);
  });

  it.each([
    ['max-age=1', 60],
    ['public, max-age=3600', 3600],
    ['Max-Age="7200"', 7200],
    ['max-age=99999999', 86_400],
    ['no-store', 60],
    ['max-age=soon', 600],
  ])('are held as long as they say, within bounds: %s', async (cache, seconds) => {
    const { clock, kids, asked } = issuer(() => jwks(jwksOf(first), { 'cache-control': cache }));
    await kids();
    await clock.advance(seconds * 1000 - 1);
    await kids();
    expect(asked()).toBe(1);
    await clock.advance(1);
    await kids();
    expect(asked()).toBe(2);
  });

  it('are read again for a key that is not known, at most every half minute', async () => {
    let text = jwksOf(first);
    const { clock, source, asked } = issuer(() => jwks(text));
    await source.current();
    text = jwksOf(first, second);
    const again = async () => (await source.again()).keys.map(({ kid }) => kid);
    expect(await again()).toEqual(['first']);
    expect(asked()).toBe(1);
    await clock.advance(30_000);
    const all = ['first', 'second'];
    expect(await Promise.all([again(), again(), again()])).toEqual([all, all, all]);
    for (let made_up = 0; made_up < 100; made_up += 1) await again();
    expect(asked()).toBe(2);
  });

  it.each([
    ['the issuer answers 500', () => new Response('no', { status: 500 }), "can't be read (it answered 500)"],
    ['it answers with a redirect', () => Response.redirect('https://evil.example.com/'), "can't be read (it answered 302)"],
    ['it is away', () => Promise.reject(new Error('connect ECONNREFUSED')), "can't be read (connect ECONNREFUSED)"],
    ['it sends something else', () => jwks('<html>'), 'are not JSON'],
    ['it sends no set', () => jwks('{"keys":{}}'), 'are no JWKS: an object with "keys", a list of at most 100'],
    ['it sends a set of nothing', () => jwks('{"keys":[]}'), 'hold none for EdDSA, ES256, RS256'],
    ['it sends without end', () => jwks('x'.repeat(JWKS_BYTES + 1)), `can't be read (the body has more than ${JWKS_BYTES} bytes)`],
  ])('serve on while %s, and are tried again', async (_name, broken, why) => {
    let answer: () => Response | Promise<Response> = () => jwks(jwksOf(first));
    const { clock, kids, asked, warnings } = issuer(() => answer());
    await kids();
    answer = broken;
    await clock.advance(600_000);
    expect(await kids()).toEqual(['first']);
    for (let minute = 0; minute < 60; minute += 1) {
      await clock.advance(60_000);
      expect(await kids()).toEqual(['first']);
    }
    expect(asked()).toBe(62);
    expect(warnings()).toEqual([`the keys at ${URL_OF_KEYS} ${why}: the last good ones serve on`]);
    answer = () => jwks(jwksOf(second));
    await clock.advance(30_000);
    expect(await kids()).toEqual(['second']);
    expect(warnings().at(-1)).toBe(`the keys at ${URL_OF_KEYS} can be read again`);
  });

  it('that never come hold up one request for three seconds, and nobody else', async () => {
    let answer: () => Response | Promise<Response> = () => jwks(jwksOf(first));
    const { clock, kids, asked, warnings } = issuer(() => answer());
    await kids();
    answer = () => new Promise<never>(() => undefined);
    await clock.advance(600_000);
    let isOver = false;
    const waits = kids().then((found) => {
      isOver = true;
      return found;
    });
    expect(await Promise.all([kids(), kids()])).toEqual([['first'], ['first']]);
    await clock.advance(2999);
    expect(isOver).toBe(false);
    await clock.advance(1);
    expect(await waits).toEqual(['first']);
    expect(asked()).toBe(2);
    expect(warnings()).toEqual([`the keys at ${URL_OF_KEYS} gave no answer within 3000 ms: the last good ones serve on`]);
    expect(clock.sleeping).toBe(0);
  });

  it('are waited for by all that come before the first ones, with one question', async () => {
    let give: (response: Response) => void = () => undefined;
    const { kids, asked } = issuer(() => new Promise((resolve) => (give = resolve)));
    const all = Promise.all([kids(), kids(), kids()]);
    give(jwks(jwksOf(first)));
    expect(await all).toEqual([['first'], ['first'], ['first']]);
    expect(asked()).toBe(1);
  });

  it('that were never read are asked for every five seconds, and say so meanwhile', async () => {
    let answer = () => new Response(null, { status: 404 });
    const { clock, kids, asked, warnings } = issuer(() => answer());
    const away = { name: 'KeysAwayError', message: `the keys at ${URL_OF_KEYS} can't be read (it answered 404)` };
    await expect(kids()).rejects.toMatchObject(away);
    await expect(kids()).rejects.toMatchObject(away);
    expect(asked()).toBe(1);
    expect(warnings()).toEqual([`${away.message}: no JWT can be checked until they can be read`]);
    answer = () => jwks(jwksOf(first));
    await clock.advance(5000);
    expect(await kids()).toEqual(['first']);
  });

  it.each([
    ['https://id.example.com/jwks.json', undefined],
    ['http://127.0.0.1:8080/jwks.json', undefined],
    ['http://id.example.com/jwks.json', /https/],
    ['http://127.0.0.1.example.com/jwks.json', /https/],
    ['file:///etc/jwks.json', /https/],
    ['https://me:pw@id.example.com/', /user name/],
    ['jwks.json', /must be a URL/],
  ])('are taken only from where they are proved: %s', (url, why) => {
    if (why === undefined) expect(whyNotJwksUrl(url)).toBeUndefined();
    else expect(whyNotJwksUrl(url)).toMatch(why);
  });
});

describe('the keys in a text', () => {
  it('are read again when it has changed, and serve on while it is damaged', async () => {
    const [clock, log] = [new SimulatedClock(), recordingLog()];
    const file = { version: '1', text: jwksOf(first), reads: 0 };
    const text = {
      name: 'keys.json',
      version: async () => file.version,
      read: async () => {
        file.reads += 1;
        return file.text;
      },
    };
    const source = createTextJwks({ text, clock, log });
    const kids = async () => {
      await clock.advance(1000);
      return (await source.current()).keys.map(({ kid }) => kid);
    };
    expect([await kids(), await kids(), file.reads]).toEqual([['first'], ['first'], 1]);
    Object.assign(file, { version: '2', text: jwksOf(first).slice(0, 20) });
    expect([await kids(), await kids()]).toEqual([['first'], ['first']]);
    expect(log.lines.map(({ message }) => message)).toEqual(['the keys in keys.json are not JSON: the last good ones serve on']);
    Object.assign(file, { version: '3', text: jwksOf(second) });
    expect(await kids()).toEqual(['second']);
  });
});

describe('a JWKS', () => {
  it('is used as far as it can be, and says what is not', async () => {
    const rsa = await makeKey('rsa', 'RS256');
    const members = [
      first.jwk,
      { ...rsa.jwk, kid: 'enc', use: 'enc' },
      { ...rsa.jwk, kid: 'wrap', key_ops: ['wrapKey'] },
      { ...rsa.jwk, kid: 'pss', alg: 'PS256' },
      { ...rsa.jwk, kid: 'short', n: 'AQAB' },
      { ...second.jwk, kid: 'private', d: 'AAAA' },
      { kty: 'oct', kid: 'secret', k: 'AAAA' },
      { ...second.jwk, kid: 'cut', x: 'AAAA' },
      { kty: 'EC', crv: 'P-384', kid: 'p384', x: 'AAAA', y: 'AAAA' },
      'text',
    ];
    const { keys, ignored } = await readKeySet(JSON.stringify({ keys: members }));
    expect(keys.map(({ kid }) => kid)).toEqual(['first']);
    expect(ignored).toEqual([
      'key "enc" is not for signatures',
      'key "wrap" is not for signatures',
      'key "pss" is not for EdDSA, ES256, RS256',
      expect.stringMatching(/^key "short" is (too short|damaged)/),
      'key "private" is a private or secret one: whoever reads it can sign tokens, so replace it',
      'key "secret" is a private or secret one: whoever reads it can sign tokens, so replace it',
      'key "cut" is damaged',
      'key "p384" is not for EdDSA, ES256, RS256',
      'key 10 is no JSON Web Key',
    ]);
  });

  it('without any usable key is none', async () => {
    await expect(readKeySet('{"keys":["x"]}')).rejects.toThrow(KeySetError);
    await expect(readKeySet(JSON.stringify({ keys: Array.from({ length: 101 }, () => first.jwk) }))).rejects.toThrow(/at most 100/);
  });

  it('gives a key for its own algorithm only', async () => {
    const set = await readKeySet(jwksOf(first, second));
    expect(chooseKey(set, 'EdDSA', 'second')).toMatchObject({ kid: 'second', alg: 'EdDSA' });
    expect(chooseKey(set, 'ES256', 'second')).toBe('other_type');
    expect(chooseKey(set, 'none', 'second')).toBe('other_type');
    expect(chooseKey(set, 'EdDSA', 'third')).toBe('unknown_kid');
    expect(chooseKey(set, 'EdDSA', undefined)).toBe('no_kid');
  });
});

describe('a verified token', () => {
  async function verifier(remembered?: number) {
    const clock = new SimulatedClock();
    const ours = await deriveFleetKeys('default', 'a fleet key that is only for tests');
    const { source } = issuer(() => jwks(jwksOf(first)));
    const tokens = createTokenVerifier({
      ...{ keys: source, clock, issuer: ISSUER, audience: AUDIENCE },
      fleets: { default_fleet: 'default', keysOf: async () => ours },
      ...(remembered === undefined ? {} : { remembered }),
    });
    const verify = async (token: string) => tokens.verify(token, new Request('https://here.example.com/v1/nodes'));
    return { clock, verify, make: (sub: string) => sign(first, claimsAt(clock.now(), { sub })) };
  }

  it('is not verified again as long as it holds', async () => {
    const { clock, verify, make } = await verifier();
    const token = await make('a');
    const spy = vi.spyOn(crypto.subtle, 'verify');
    for (let call = 0; call < 5; call += 1) expect(await verify(token)).toMatchObject({ scope: 'node', node_id: 'a' });
    expect(spy).toHaveBeenCalledTimes(1);
    await clock.advance(660_000);
    await expect(verify(token)).rejects.toMatchObject({ problem: { code: 'unauthenticated' } });
    await expect(verify(token)).rejects.toMatchObject({ problem: { code: 'unauthenticated' } });
    expect(spy).toHaveBeenCalledTimes(3);
    spy.mockRestore();
  });

  it('is forgotten, the oldest first, where there are too many', async () => {
    const { verify, make } = await verifier(2);
    const [a, b, c] = [await make('a'), await make('b'), await make('c')];
    for (const token of [a, b, c]) await verify(token);
    const spy = vi.spyOn(crypto.subtle, 'verify');
    for (const token of [b, c]) await verify(token);
    expect(spy).toHaveBeenCalledTimes(0);
    await verify(a);
    expect(spy).toHaveBeenCalledTimes(1);
    spy.mockRestore();
  });
});
