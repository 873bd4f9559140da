import { describe, expect, it } from 'vitest';
import { createOwnToken } from '../../../shared/discovery/own-token.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { claimsAt, forge } from '../../support/token-issuer.ts';

const FILE = '/run/token';

/** A token file whose text a test sets; undefined: it is not there. */
function world() {
  const [clock, log] = [new SimulatedClock(Date.UTC(2026, 5, 1)), recordingLog()];
  const file: { text: string | undefined; version: number } = { text: undefined, version: 0 };
  const gone = async () => {
    if (file.text === undefined) throw new Error('is not there');
  };
  const token = createOwnToken(
    {
      name: FILE,
      version: async () => {
        await gone();
        return String(file.version);
      },
      read: async () => {
        await gone();
        return file.text ?? '';
      },
    },
    { clock, log },
  );
  const put = (text: string | undefined) => Object.assign(file, { text, version: file.version + 1 });
  /** A token of nobody: only the other side verifies. */
  const make = (seconds: number, more: Record<string, unknown> = {}) => {
    const now = Math.floor(clock.now() / 1000);
    return forge({ alg: 'EdDSA' }, claimsAt(clock.now(), { exp: now + seconds, ...more }));
  };
  const told = (level?: string) => log.lines.filter((line) => level === undefined || line.level === level).map(({ message }) => message);
  return { clock, token, put, make, told };
}

describe("a node's own JWT", () => {
  it('is the newest one that stands in the file', async () => {
    const { clock, token, put, make, told } = world();
    const [old, renewed] = [await make(600), await make(1200)];
    put(`${old}\n`);
    expect(await token.current()).toBe(old);
    put(renewed);
    expect(await token.current()).toBe(old);
    await clock.advance(1000);
    expect(await token.current()).toBe(renewed);
    expect(told()).toEqual([
      `the credential of this node is the JWT in ${FILE}, good until 2026-06-01T00:10:00.000Z`,
      `the credential of this node is the JWT in ${FILE}, good until 2026-06-01T00:20:00.000Z`,
    ]);
    for (const line of told()) expect(line).not.toContain(old.slice(0, 20));
  });

  it('is had by all who ask for the first one at once', async () => {
    const { token, put, make } = world();
    const first = await make(600);
    put(first);
    expect(await Promise.all([token.current(), token.current()])).toEqual([first, first]);
  });

  it('is missed once, and found when it comes', async () => {
    const { clock, token, put, make, told } = world();
    await expect(token.current()).rejects.toThrow(`this node has no credential: ${FILE} is not there`);
    expect(token.trouble()).toBe(`a credential: ${FILE} is not there`);
    await clock.advance(1000);
    await expect(token.current()).rejects.toThrow();
    expect(told()).toEqual([`the credential of this node: ${FILE} is not there`]);
    put('not a token');
    await clock.advance(1000);
    await expect(token.current()).rejects.toThrow(`${FILE} holds no JWT`);
    put(await make(600));
    await clock.advance(1000);
    expect(await token.current()).toMatch(/^eyJ/);
    expect(token.trouble()).toBeUndefined();
  });

  it('is used on when the file goes away or is damaged', async () => {
    const { clock, token, put, make, told } = world();
    const good = await make(600);
    put(good);
    await token.current();
    put(undefined);
    await clock.advance(1000);
    expect(await token.current()).toBe(good);
    expect(token.trouble()).toBeUndefined();
    put(good.slice(0, 30));
    await clock.advance(1000);
    expect(await token.current()).toBe(good);
    expect(told('warn')).toEqual([
      `the credential of this node: ${FILE} is not there: the one that was read before is used on, good until 2026-06-01T00:10:00.000Z`,
      `the credential of this node: ${FILE} holds no JWT: the one that was read before is used on, good until 2026-06-01T00:10:00.000Z`,
    ]);
  });

  it('is warned of once from a third of its life before its end on, also when nobody asks for it', async () => {
    const { clock, token, put, make, told } = world();
    put(await make(900));
    const over = new AbortController();
    const watching = token.run(over.signal);
    await clock.advance(599_000);
    expect(told('warn')).toEqual([]);
    await clock.advance(11_000);
    const due = 'the credential of this node ends at 2026-06-01T00:15:00.000Z and is not renewed yet';
    expect(told('warn')).toEqual([due]);
    expect(token.trouble()).toBeUndefined();
    await clock.advance(300_000);
    expect(told('warn')).toEqual([due, 'the credential of this node expired at 2026-06-01T00:15:00.000Z']);
    expect(token.trouble()).toBe(`a renewed credential: the JWT in ${FILE} expired at 2026-06-01T00:15:00.000Z; what runs goes on`);
    put(await make(900));
    await clock.advance(10_000);
    expect(token.trouble()).toBeUndefined();
    over.abort();
    await watching;
    expect(clock.sleeping).toBe(0);
  });

  it('that expires between two looks is in trouble at once, and is sent on', async () => {
    const { clock, token, put, make } = world();
    const short = await make(5);
    put(short);
    await token.current();
    await clock.advance(5000);
    expect(token.trouble()).toMatch(/expired at 2026-06-01T00:00:05/);
    expect(await token.current()).toBe(short);
  });

  it.each([
    ['without an end', { exp: undefined }],
    ['whose end is no number', { exp: 'soon' }],
  ])('%s is used, and nothing is said of its end', async (_name, more) => {
    const { token, put, make, told } = world();
    put(await make(600, more));
    expect(await token.current()).toMatch(/^eyJ/);
    expect(told()).toEqual([`the credential of this node is the JWT in ${FILE}, which does not say when it ends`]);
    expect(token.trouble()).toBeUndefined();
  });

  it('whose end is beyond all times does not break anything', async () => {
    const { token, put, make } = world();
    put(await make(600, { exp: 1e300 }));
    expect(await token.current()).toMatch(/^eyJ/);
    expect(token.trouble()).toBeUndefined();
  });
});
