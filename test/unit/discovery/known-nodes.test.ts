import { beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '../../../shared/client.ts';
import { proveCredential } from '../../../shared/contract/credential-proof.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { IntrospectAnswer } from '../../../shared/contract/introspect.ts';
import { ASK_AGAIN_MS, createKnownNodes, type KnownNodes } from '../../../shared/discovery/known-nodes.ts';
import { KNOWN_NODES_FILE } from '../../../shared/discovery/known-nodes-file.ts';
import { createTokenBucket } from '../../../shared/supervisor/token-bucket.ts';
import { drain } from '../../support/drain.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { until } from '../../support/until.ts';
import { keys, strangers } from './harness.ts';

const SECRET = 'bpn~default~a~the-mac-of-a';
const A = { node_id: 'a' };
const AWAY = new Error('it does not answer');

let clock: SimulatedClock;
let files: ReturnType<typeof memoryStateFiles>;
let log: ReturnType<typeof recordingLog>;
/** What the cloud says of each credential; an error is that nothing came. */
let cloud: Map<string, IntrospectAnswer> | Error;
let asked: string[];
let leads: boolean;
let nodes: KnownNodes;

const of = (node_id: string, expires_at?: number): IntrospectAnswer => ({
  ...{ active: true, scope: 'node', node_id },
  ...(expires_at === undefined ? {} : { expires_at: toTimestamp(expires_at) }),
});
const parts = (fleet = 'default') => ({
  ...{ clock, files, log, random: seededRandom(3), fleet, mayAsk: () => leads },
  limit: createTokenBucket({ clock, per_second: 20, burst: 200 }),
  keys: { documents: keys.documents, replacedUntil: () => undefined },
});
const boot = (fleet?: string) =>
  createKnownNodes({
    ...parts(fleet),
    ask: async (credential) => {
      asked.push(credential);
      if (cloud instanceof Error) throw cloud;
      return cloud.get(credential) ?? { active: false };
    },
  });
/** Of the file, so far as it was written. */
const written = async (isSo: (text: string) => boolean) => until('the file', async () => isSo(files.texts.get(KNOWN_NODES_FILE) ?? ''));

beforeEach(() => {
  [clock, files, log] = [new SimulatedClock(), memoryStateFiles(), recordingLog()];
  [cloud, asked, leads] = [new Map([[SECRET, of('a')]]), [], true];
  nodes = boot();
});

describe('what a leader without the fleet key knows of other nodes', () => {
  it('is asked once for each credential, however many calls come, and again after about an hour', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => nodes.nodeOf(SECRET)));
    expect(all).toEqual(all.map(() => A));
    await clock.advance(0.8 * ASK_AGAIN_MS);
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    expect(asked).toHaveLength(1);
    await clock.advance(0.4 * ASK_AGAIN_MS);
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    await drain();
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    expect(asked).toHaveLength(2);
  });

  it('ends when the cloud says so at the next ask', async () => {
    await nodes.nodeOf(SECRET);
    cloud = new Map();
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    await clock.advance(1.2 * ASK_AGAIN_MS);
    // The call that finds it due goes through once more; nobody waits for the cloud.
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    await drain();
    expect(await nodes.nodeOf(SECRET)).toBeUndefined();
    await clock.advance(1_000);
    await written((text) => text !== '' && !text.includes('"a"'));
  });

  it('counts on while the cloud is away, for days, with one line in the log', async () => {
    await nodes.nodeOf(SECRET);
    cloud = AWAY;
    for (let hour = 0; hour < 72; hour += 1) {
      await clock.advance(ASK_AGAIN_MS);
      expect(await nodes.nodeOf(SECRET)).toEqual(A);
      await drain();
    }
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    cloud = new Map([[SECRET, of('a')]]);
    await clock.advance(ASK_AGAIN_MS);
    await nodes.nodeOf(SECRET);
    await drain();
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
  });

  it('ends at the end of the credential, also while the cloud is away, but not by a clock that can not be believed', async () => {
    cloud = new Map([[SECRET, of('a', clock.now() + 600_000)]]);
    expect(await nodes.nodeOf(SECRET)).toEqual({ ...A, expires_at: clock.now() + 600_000 });
    cloud = AWAY;
    await clock.advance(599_000);
    expect(await nodes.nodeOf(SECRET)).toMatchObject(A);
    clock.jump(clock.now() + 86_400_000);
    expect(await nodes.nodeOf(SECRET)).toMatchObject(A);
    clock.jump(clock.now(), true);
    expect(await nodes.nodeOf(SECRET)).toEqual({ away: AWAY.message });
  });

  it('of a credential that nobody knows says that it can not be told while the cloud is away, and asks again soon', async () => {
    cloud = AWAY;
    expect(await nodes.nodeOf(SECRET)).toEqual({ away: AWAY.message });
    // Whoever comes at once does not wait in vain, and is no load on a cloud that is coming back.
    for (let n = 0; n < 50; n += 1) expect(await nodes.nodeOf(`bpn~default~n${n}~x`)).toEqual({ away: AWAY.message });
    expect(asked).toHaveLength(1);
    cloud = new Map([[SECRET, of('a')]]);
    await clock.advance(5_000);
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
  });

  it('outlives a restart with the cloud away, as hashes alone', async () => {
    await nodes.nodeOf(SECRET);
    await written((text) => text.includes('"a"'));
    for (const text of files.texts.values()) expect(text).not.toContain('the-mac-of-a');
    cloud = AWAY;
    nodes = boot();
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    expect(await nodes.nodeOf('bpn~default~b~other')).toEqual({ away: AWAY.message });
    // And is asked again at the first chance.
    expect(asked).toContain(SECRET);
    expect(log.lines.map(({ message }) => message).join()).not.toContain('the-mac-of-a');
  });

  it.each([
    ['is no JSON', () => '{'],
    ['has another node in it', (text: string) => text.replace('"a"', '"b"')],
    ['is of another kind', () => '{"sha256":"x","known":[]}'],
  ])('counts for nothing where the file %s, and is learned anew', async (_, spoil) => {
    await nodes.nodeOf(SECRET);
    await written((text) => text.includes('"a"'));
    files.texts.set(KNOWN_NODES_FILE, spoil(files.texts.get(KNOWN_NODES_FILE) ?? ''));
    cloud = AWAY;
    nodes = boot();
    expect(await nodes.nodeOf(SECRET)).toEqual({ away: AWAY.message });
    expect([...files.texts.keys()].some((name) => name.startsWith(`${KNOWN_NODES_FILE}.`))).toBe(true);
    cloud = new Map([[SECRET, of('a')]]);
    await clock.advance(5_000);
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
  });

  it('of another fleet counts for nothing', async () => {
    await nodes.nodeOf(SECRET);
    await written((text) => text.includes('"a"'));
    cloud = AWAY;
    expect(await boot('other').nodeOf(SECRET)).toEqual({ away: AWAY.message });
  });

  it('goes on in memory where the disk refuses', async () => {
    nodes = createKnownNodes({
      ...{ ...parts(), ask: async () => of('a') },
      files: { ...files, write: () => Promise.reject(new Error('no space left on the device')) },
    });
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
  });

  it('a wrong credential is not asked about again for a while, and is no known one then', async () => {
    expect(await nodes.nodeOf('wrong')).toBeUndefined();
    expect(await nodes.nodeOf('wrong')).toBeUndefined();
    expect(asked).toHaveLength(1);
    await clock.advance(70_000);
    cloud = new Map([['wrong', of('w')]]);
    expect(await nodes.nodeOf('wrong')).toEqual({ node_id: 'w' });
  });

  it('who guesses makes the cloud no work beyond a few questions a second, and forgets nothing that is known', async () => {
    await nodes.nodeOf(SECRET);
    const before = asked.length;
    const answers = [];
    for (let n = 0; n < 2000; n += 1) answers.push(await nodes.nodeOf(`guess ${n}`));
    expect(asked.length - before).toBeLessThanOrEqual(200);
    expect(answers.at(-1)).toEqual({ away: expect.stringContaining('too many') });
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    await clock.advance(10_000);
    for (let n = 0; n < 2000; n += 1) await nodes.nodeOf(`another guess ${n}`);
    expect(asked.length - before).toBeLessThanOrEqual(400);
  });

  it('an answer about one credential that says nothing keeps nobody from asking about the others', async () => {
    const problem = {
      type: 'about:blank',
      title: 'x',
      status: 503,
      code: 'unavailable',
      detail: 'the keys of the issuer can not be read',
    } as const;
    nodes = createKnownNodes({
      ...parts(),
      ask: async (credential) => (credential === SECRET ? of('a') : Promise.reject(new ApiError(problem))),
    });
    expect(await nodes.nodeOf('eyJ.junk.x')).toHaveProperty('away');
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
  });

  it('an answer that is about no credential, as that of an older cloud, is told once, and others are not asked about meanwhile', async () => {
    const problem = { type: 'about:blank', title: 'x', status: 404, code: 'not_found', detail: 'there is no such path' } as const;
    let asks = 0;
    const ask = async () => {
      asks += 1;
      throw new ApiError(problem);
    };
    nodes = createKnownNodes({ ...parts(), ask });
    for (const one of ['bpn~default~x~1', 'bpn~default~y~2', SECRET]) expect(await nodes.nodeOf(one)).toHaveProperty('away');
    expect(asks).toBe(1);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('asks about so many at one time and no more', async () => {
    const gate = Promise.withResolvers<IntrospectAnswer>();
    nodes = createKnownNodes({ ...parts(), ask: () => gate.promise });
    const all = Promise.all(Array.from({ length: 100 }, (_, n) => nodes.nodeOf(`bpn~default~n~${n}`)));
    await until('the first ones are told', async () => {
      gate.resolve(of('n'));
      return true;
    });
    const told = await all;
    expect(told.filter((one) => one !== undefined && 'node_id' in one).length).toBeGreaterThan(0);
    expect(told.every((one) => one !== undefined)).toBe(true);
  });

  it('is bounded: of too many the one that was told longest ago is asked anew', async () => {
    const many = Array.from({ length: 4097 }, (_, n) => `bpn~default~n${n}~x`);
    cloud = new Map(many.map((one, n) => [one, of(`n${n}`)]));
    for (const [n, one] of many.entries()) {
      await nodes.nodeOf(one);
      if (n % 100 === 99) await clock.advance(5_000);
    }
    cloud = AWAY;
    expect(await nodes.nodeOf(many[0] ?? '')).toEqual({ away: AWAY.message });
    expect(await nodes.nodeOf(many[1] ?? '')).toEqual({ node_id: 'n1' });
    expect(await nodes.nodeOf(many.at(-1) ?? '')).toEqual({ node_id: 'n4096' });
  });

  it('keeps no JWT beyond its end, of which each node has a new one every few minutes', async () => {
    const lasts_ms = 600_000;
    const jwtOf = (name: string, round: number) => `eyJ.${name}.${round}`;
    const names = Array.from({ length: 20 }, (_, n) => `n${n}`);
    for (let round = 0; round < 10; round += 1) {
      cloud = new Map(names.map((name) => [jwtOf(name, round), of(name, clock.now() + lasts_ms)]));
      for (const name of names) expect(await nodes.nodeOf(jwtOf(name, round))).toMatchObject({ node_id: name });
      await clock.advance(0.8 * lasts_ms);
      // What was read back from the file ends as well.
      nodes = boot();
    }
    await clock.advance(10_000);
    // Those that hold, and those of the round before, which hold for a while beside them.
    const { known } = JSON.parse(files.texts.get(KNOWN_NODES_FILE) ?? '');
    expect(known.nodes.length).toBe(2 * names.length);
  });

  it('a node that does not lead asks nobody, and tells what it knows', async () => {
    await nodes.nodeOf(SECRET);
    leads = false;
    expect(await nodes.nodeOf(SECRET)).toEqual(A);
    expect(await nodes.nodeOf('bpn~default~b~other')).toBeUndefined();
    expect(asked).toHaveLength(1);
  });

  describe('of a node that proves its credential itself', () => {
    const credential = () => keys.nodeCredential('p');
    const proof = async (by = keys, of?: string) => (await proveCredential(by, of ?? (await credential()))) ?? '';

    it('is believed while the cloud is away, also by a node that has never led, and asked about when the cloud is there', async () => {
      cloud = AWAY;
      leads = false;
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ node_id: 'p' });
      // From now on without the proof, too.
      expect(await nodes.nodeOf(await credential())).toEqual({ node_id: 'p' });
      await written((text) => text.includes('"p"'));
      nodes = boot();
      expect(await nodes.nodeOf(await credential())).toEqual({ node_id: 'p' });
      [cloud, leads] = [new Map([[await credential(), of('p')]]), true];
      await clock.advance(60_000);
      expect(await nodes.nodeOf(await credential())).toEqual({ node_id: 'p' });
      await drain();
      expect(asked).toEqual([await credential()]);
    });

    it('is not, by a key that is not trusted, for another credential, or where the cloud has said that it is not good', async () => {
      cloud = AWAY;
      const wrong = [await proof(strangers), await proof(keys, await keys.nodeCredential('q')), '', 'x'.repeat(2000), 'AAAA'];
      for (const one of wrong) {
        nodes = boot();
        expect(await nodes.nodeOf(await credential(), one), one).toEqual({ away: AWAY.message });
      }
      expect(await boot('other').nodeOf(await credential(), await proof())).toEqual({ away: AWAY.message });
      // Whoever has a document key of before may have such a proof, whose credential was taken back by replacing the fleet key.
      cloud = new Map();
      nodes = boot();
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ node_id: 'p' });
      await clock.advance(60_000);
      await nodes.nodeOf(await credential(), await proof());
      await drain();
      expect(await nodes.nodeOf(await credential(), await proof())).toBeUndefined();
    });

    it('which the cloud has taken back is not good again by its proof, however often it comes', async () => {
      cloud = new Map();
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ node_id: 'p' });
      await clock.advance(60_000);
      await nodes.nodeOf(await credential(), await proof());
      await drain();
      for (let minute = 0; minute < 10; minute += 1) {
        expect(await nodes.nodeOf(await credential(), await proof()), `after ${minute} minutes`).toBeUndefined();
        await clock.advance(66_000);
      }
      // Until the cloud says otherwise.
      cloud = new Map([[await credential(), of('p')]]);
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ node_id: 'p' });
    });

    it('by a document key that is being replaced is believed until that ends, and where nobody said when the cloud is asked', async () => {
      const until_ms = clock.now() + 600_000;
      const end: { at: number | undefined } = { at: until_ms };
      const documents = { ...strangers.documents, others: [keys.documents] };
      const start = () => {
        const ask = async () => Promise.reject(AWAY);
        return createKnownNodes({ ...parts(), files: memoryStateFiles(), keys: { documents, replacedUntil: () => end.at }, ask });
      };
      nodes = start();
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ node_id: 'p', expires_at: until_ms });
      await clock.advance(600_000);
      for (const one of [nodes, start()]) expect(await one.nodeOf(await credential(), await proof())).toEqual({ away: AWAY.message });
      end.at = undefined;
      expect(await start().nodeOf(await credential(), await proof())).toEqual({ away: AWAY.message });
      expect(
        await start().nodeOf(await strangers.nodeCredential('p'), await proof(strangers, await strangers.nodeCredential('p'))),
      ).toEqual({
        node_id: 'p',
      });
    });

    it('ends where the cloud has told its end', async () => {
      cloud = new Map([[await credential(), of('p', clock.now() + 60_000)]]);
      await nodes.nodeOf(await credential());
      await clock.advance(60_000);
      // What makes room for others is no reason to believe the proof.
      cloud = new Map([['eyJ.q.x', of('q', clock.now() + 60_000)]]);
      expect(await nodes.nodeOf('eyJ.q.x')).toMatchObject({ node_id: 'q' });
      cloud = AWAY;
      expect(await nodes.nodeOf(await credential(), await proof())).toEqual({ away: AWAY.message });
    });
  });
});
