import { type Answer, encode, type Packet, type Question } from 'dns-packet';
import { describe, expect, test } from 'vitest';
import { namesOf, SERVICE, SERVICE_TYPES } from '../../runtime-node/adapters/mdns/names.ts';
import { fromTxt, toTxt } from '../../runtime-node/adapters/mdns/txt.ts';
import { createMdnsLan } from '../../runtime-node/adapters/mdns.ts';
import type { Advert } from '../../shared/ports/lan.ts';
import { anAdvert } from '../conformance/lan.suite.ts';
import { MulticastSegment, type Sniffed } from '../support/multicast-segment.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const OURS = '10.0.0.1';
const FOREIGN = { address: '10.0.0.9', port: 5353 };
/** Longer than probing takes, with its random wait. */
const CLAIMED_MS = 1100;
/** Of a question that wants a unicast answer. */
const UNICAST_BIT = 0x8000;

function segment() {
  const clock = new SimulatedClock();
  const wire = new MulticastSegment(clock);
  const log = recordingLog();
  let seeds = 0;
  const join = (address: string) => {
    seeds += 1;
    return createMdnsLan({ clock, log, random: seededRandom(seeds), interfaces: [], ...wire.machine(address) });
  };
  return { clock, wire, log, join };
}

/** A node that has claimed its name, and whose first announcements are over. */
async function settled(advert = anAdvert('node-a')) {
  const world = segment();
  const lan = world.join(OURS);
  const saying = lan.advertise(advert);
  await world.clock.advance(200_000);
  await saying;
  return { ...world, lan };
}

const ask = (name: string, type: string, more: Partial<Packet> = {}): Packet => ({
  type: 'query',
  questions: [{ name, type } as Question],
  ...more,
});
const typesOf = (records: readonly Answer[]) => records.map(({ type }) => type).sort();
const instance = namesOf('node-a', 1).instance;
const host = namesOf('node-a', 1).host;
const srv = (name: string, target: string, port = 1): Answer =>
  ({ name, type: 'SRV', ttl: 120, flush: true, data: { port, target } }) as Answer;

function advertised(name: string, advert: Advert, ttl = 120): Answer[] {
  return [
    { name: SERVICE, type: 'PTR', ttl: 4500, data: name },
    { ...srv(name, 'foreign.local'), ttl } as Answer,
    { name, type: 'TXT', ttl: 4500, flush: true, data: toTxt(advert) } as Answer,
  ];
}

describe('names', () => {
  test('a label never has more than 63 bytes, and two ids never share one', () => {
    for (const id of ['x', 'x'.repeat(56), 'x'.repeat(57), `${'x'.repeat(127)}1`, `${'x'.repeat(127)}2`, 'a.b', 'a-b']) {
      const label = namesOf(id, 99).instance.slice(0, -SERVICE.length - 1);
      expect(Buffer.byteLength(label)).toBeLessThanOrEqual(63);
      expect(label).not.toContain('.');
    }
    expect(new Set(['a.b', 'a-b', 'a_b'].map((id) => namesOf(id, 1).instance)).size).toBe(3);
  });
});

describe('probing', () => {
  test('asks three times, 250 ms apart, before it says anything', async () => {
    const { clock, wire, join } = segment();
    void join(OURS).advertise(anAdvert('node-a'));
    await clock.advance(CLAIMED_MS);
    const probes = wire.of(OURS, 'query');
    expect(probes).toHaveLength(3);
    const [first, second, third] = probes as [Sniffed, Sniffed, Sniffed];
    expect([second.at - first.at, third.at - second.at]).toEqual([250, 250]);
    expect(typesOf(first.packet.authorities)).toEqual(['A', 'SRV', 'TXT']);
    expect(wire.of(OURS, 'response')[0]?.at).toBe(third.at + 250);
  });

  test('takes another name when somebody has it, and says so once', async () => {
    const { clock, wire, log, join } = segment();
    void join(OURS).advertise(anAdvert('node-a'));
    await clock.advance(300);
    wire.say({ type: 'response', answers: [srv(instance, 'foreign.local')] }, FOREIGN);
    await clock.advance(2000);
    const said = wire.of(OURS, 'response')[0]?.packet.answers ?? [];
    expect(said.find(({ type }) => type === 'SRV')?.name).toBe(namesOf('node-a', 2).instance);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test.each([
    ['waits a second when the other who asks wins', 65_535, 1],
    ['goes on when the other who asks loses', 1, 0],
  ])('%s', async (_, port, restarts) => {
    const { clock, wire, join } = segment();
    void join(OURS).advertise(anAdvert('node-a'));
    await clock.advance(300);
    const theirs = { ...srv(instance, 'foreign.local', port), flush: false } as Answer;
    // The records are compared in the order of their types, and the texts are the same.
    const text = { name: instance, type: 'TXT', ttl: 4500, data: toTxt(anAdvert('node-a')) } as Answer;
    wire.say(ask(instance, 'ANY', { authorities: [theirs, text] }), FOREIGN);
    await clock.advance(3000);
    const claimedAt = wire.of(OURS, 'response')[0]?.at ?? 0;
    expect(claimedAt > 1500).toBe(restarts === 1);
    expect(wire.of(OURS, 'response')[0]?.packet.answers.map(({ name }) => name)).toContain(instance);
  });

  test('two machines with one node_id end up with two names, and each hears the other', async () => {
    const { clock, wire, join } = segment();
    const [a, b] = [join(OURS), join('10.0.0.2')];
    const told: string[] = [];
    a.onAdvert(({ url }) => told.push(`a heard ${url}`));
    b.onAdvert(({ url }) => told.push(`b heard ${url}`));
    void a.advertise(anAdvert('node-a', { url: `http://${OURS}:7420` }));
    void b.advertise(anAdvert('node-a', { url: 'http://10.0.0.2:7420' }));
    await clock.advance(10_000);
    expect([...new Set(told)].sort()).toEqual(['a heard http://10.0.0.2:7420', `b heard http://${OURS}:7420`]);
    const names = (address: string) =>
      wire
        .of(address, 'response')
        .at(-1)
        ?.packet.answers.find(({ type }) => type === 'SRV')?.name;
    expect(new Set([names(OURS), names('10.0.0.2')])).toEqual(new Set([instance, namesOf('node-a', 2).instance]));
  });

  test('asks anew when a name that it had is contradicted, and keeps it when nobody insists', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    wire.say({ type: 'response', answers: [{ name: host, type: 'A', ttl: 120, data: '10.0.0.9' }] }, FOREIGN);
    await clock.advance(2000);
    expect(wire.of(OURS, 'query', at)).toHaveLength(3);
    expect(wire.of(OURS, 'response', at)[0]?.packet.answers.map(({ name }) => name)).toContain(instance);
  });
});

describe('announcing', () => {
  test('says all it has eight times at most, at doubled intervals, and is silent afterwards', async () => {
    const { wire } = await settled();
    const said = wire.of(OURS, 'response');
    expect(said).toHaveLength(8);
    const gaps = said.slice(1).map(({ at }, index) => at - (said[index]?.at ?? 0));
    expect(gaps).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 64_000]);
    expect(typesOf(said[0]?.packet.answers ?? [])).toEqual(['A', 'PTR', 'PTR', 'SRV', 'TXT']);
    const lives = said[0]?.packet.answers.map((record) => ('ttl' in record ? [record.type, record.ttl, record.flush] : []));
    expect(lives).toEqual([
      ['PTR', 4500, false],
      ['PTR', 4500, false],
      ['SRV', 120, true],
      ['TXT', 4500, true],
      ['A', 120, true],
    ]);
  });

  test('says a change at once, without asking for the name again', async () => {
    const { clock, wire, lan } = await settled();
    const at = clock.monotonic();
    await lan.advertise(anAdvert('node-a', { epoch: 2 }));
    expect(wire.of(OURS, 'query', at)).toHaveLength(0);
    const txt = wire.of(OURS, 'response', at)[0]?.packet.answers.find(({ type }) => type === 'TXT');
    expect(fromTxt(txt !== undefined && 'data' in txt ? txt.data : undefined)?.epoch).toBe(2);
  });

  test('says goodbye with no time to live, once, and answers no more', async () => {
    const { clock, wire, lan } = await settled();
    const at = clock.monotonic();
    await lan.advertise(undefined);
    wire.say(ask(SERVICE, 'PTR'), FOREIGN);
    await clock.advance(2000);
    const said = wire.of(OURS, 'response', at);
    expect(said).toHaveLength(1);
    const lives = said[0]?.packet.answers.map((record) => ('ttl' in record ? record.ttl : -1));
    expect(new Set(lives)).toEqual(new Set([0]));
    expect(typesOf(said[0]?.packet.answers ?? [])).toEqual(['A', 'PTR', 'SRV', 'TXT']);
  });

  test('is refused while nothing can be sent, and says it when that is over', async () => {
    const { clock, wire, log, join } = segment();
    wire.refusal = new Error('send ENETUNREACH 224.0.0.251:5353');
    const refused = join(OURS)
      .advertise(anAdvert('node-a'))
      .catch((error: unknown) => error);
    await clock.advance(60_000);
    expect(await refused).toMatchObject({ name: 'LanError', message: expect.stringContaining('ENETUNREACH') });
    expect(log.lines).toHaveLength(1);
    wire.refusal = undefined;
    await clock.advance(3000);
    expect(wire.of(OURS, 'response').length).toBeGreaterThan(0);
  });
});

describe('answering', () => {
  test.each([
    [SERVICE, 'PTR', ['PTR']],
    [SERVICE.toUpperCase(), 'ANY', ['PTR']],
    [SERVICE_TYPES, 'PTR', ['PTR']],
    [instance, 'SRV', ['SRV']],
    [instance, 'TXT', ['TXT']],
    [instance, 'ANY', ['SRV', 'TXT']],
    [host, 'A', ['A']],
  ])('%s %s', async (name, type, expected) => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    wire.say(ask(name, type), FOREIGN);
    await clock.advance(500);
    const said = wire.of(OURS, 'response', at);
    expect(said).toHaveLength(1);
    expect(typesOf(said[0]?.packet.answers ?? [])).toEqual(expected);
    expect(said[0]?.packet.questions).toEqual([]);
  });

  test('answers a browser with all that it will ask next, after a short wait by chance', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    wire.say(ask(SERVICE, 'PTR'), FOREIGN);
    await clock.advance(500);
    const [said] = wire.of(OURS, 'response', at);
    expect(typesOf(said?.packet.additionals ?? [])).toEqual(['A', 'SRV', 'TXT']);
    expect((said?.at ?? 0) - at).toBeGreaterThanOrEqual(20);
    expect((said?.at ?? 0) - at).toBeLessThanOrEqual(121);
  });

  test.each([
    ['_http._tcp.local', 'PTR'],
    [`other.${SERVICE}`, 'ANY'],
    ['10.in-addr.arpa', 'PTR'],
    ['foreign.local', 'A'],
    [host, 'MX'],
    [`x.${host}`, 'A'],
  ])('has nothing to say about %s %s', async (name, type) => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    wire.say(ask(name, type), FOREIGN);
    wire.say(ask(name, type), { ...FOREIGN, port: 40_000 });
    await clock.advance(500);
    expect(wire.of(OURS, 'response', at)).toEqual([]);
  });

  test('does not repeat what the asker knows, unless its life is half over', async () => {
    const { clock, wire } = await settled();
    const known = (ttl: number): Answer => ({ name: SERVICE, type: 'PTR', ttl, data: instance });
    const at = clock.monotonic();
    wire.say(ask(SERVICE, 'PTR', { answers: [known(2250)] }), FOREIGN);
    await clock.advance(500);
    expect(wire.of(OURS, 'response', at)).toEqual([]);
    wire.say(ask(SERVICE, 'PTR', { answers: [known(2249)] }), FOREIGN);
    await clock.advance(500);
    expect(wire.of(OURS, 'response', at)).toHaveLength(1);
  });

  test('waits for the rest of what the asker knows when a question was cut short', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    const TRUNCATED = 1 << 9;
    wire.say(ask(SERVICE, 'PTR', { flags: TRUNCATED }), FOREIGN);
    await clock.advance(100);
    wire.say({ type: 'query', answers: [{ name: SERVICE, type: 'PTR', ttl: 4500, data: instance }] }, FOREIGN);
    await clock.advance(1000);
    expect(wire.of(OURS, 'response', at)).toEqual([]);
  });

  test('says nothing to all more often than once a second, however often it is asked', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    for (let round = 0; round < 500; round += 1) {
      wire.say(ask(SERVICE, 'PTR'), FOREIGN);
      await clock.advance(10);
    }
    expect(wire.of(OURS, 'response', at).length).toBeLessThanOrEqual(6);
    expect(wire.of(OURS, 'response', at).length).toBeGreaterThanOrEqual(4);
  });

  test('defends its name at once against one who asks for it', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    wire.say(ask(instance, 'ANY', { authorities: [srv(instance, 'foreign.local')] }), FOREIGN);
    await clock.advance(2);
    expect(wire.of(OURS, 'response', at)).toHaveLength(1);
  });

  test('answers a resolver that knows no multicast DNS as a name server would, a bounded number of times', async () => {
    const { clock, wire } = await settled();
    const at = clock.monotonic();
    const legacy = { ...FOREIGN, port: 40_000 };
    wire.say(ask(host, 'A', { id: 4711 }), legacy);
    await clock.advance(2);
    const [said] = wire.of(OURS, 'response', at);
    expect(said).toMatchObject({ to: legacy, packet: { id: 4711, questions: [{ name: host, type: 'A' }] } });
    expect(said?.packet.answers).toMatchObject([{ type: 'A', data: OURS, ttl: 10, flush: false }]);
    for (let round = 0; round < 100; round += 1) wire.say(ask(host, 'A'), legacy);
    await clock.advance(2);
    expect(wire.of(OURS, 'response', at).length).toBeLessThan(40);
  });

  test('answers the asker alone who wants that, when the others know it', async () => {
    const { clock, wire, lan } = await settled();
    await lan.advertise(anAdvert('node-a', { epoch: 2 }));
    await clock.advance(5000);
    const at = clock.monotonic();
    // The library can't write such a question, but it reads one, and this is what it then gives.
    const question = { name: instance, type: 'TXT', class: `UNKNOWN_${UNICAST_BIT + 1}` } as unknown as Question;
    wire.hearRaw({ questions: [question] }, FOREIGN);
    await clock.advance(500);
    expect(wire.of(OURS, 'response', at)).toMatchObject([{ to: FOREIGN }]);
  });
});

describe('asking', () => {
  test('a browse asks three times at most, and names what it knows', async () => {
    const { clock, wire, join } = segment();
    const lan = join(OURS);
    wire.say({ type: 'response', answers: advertised(`foreign.${SERVICE}`, anAdvert('foreign')) }, FOREIGN);
    await clock.advance(10);
    await browsed(clock, lan.browse(5000), 5000);
    wire.say({ type: 'response', answers: advertised(`foreign.${SERVICE}`, anAdvert('foreign')) }, FOREIGN);
    await clock.advance(10);
    const at = clock.monotonic();
    expect(await browsed(clock, lan.browse(5000), 5000)).toEqual([anAdvert('foreign')]);
    const asked = wire.of(OURS, 'query', at);
    expect(asked).toHaveLength(3);
    for (const { packet } of asked) expect(packet.answers).toMatchObject([{ type: 'PTR', data: `foreign.${SERVICE}` }]);
  });

  test('who listens asks no more what all have just been asked, unless somebody did not want what it does not know', async () => {
    const { clock, wire, join } = segment();
    const lan = join(OURS);
    lan.onAdvert(() => {});
    await clock.advance(40_000);
    const queriesOf = async (browses: number) => {
      const at = clock.monotonic();
      for (let count = 0; count < browses; count += 1) await browsed(clock, lan.browse(1000), 1000);
      return wire.of(OURS, 'query', at).length;
    };
    expect(await queriesOf(4)).toBe(1);
    await clock.advance(6000);
    wire.say(ask(SERVICE, 'PTR'), FOREIGN);
    await clock.advance(10);
    expect(await queriesOf(1)).toBe(0);
    await clock.advance(6000);
    wire.say(ask(SERVICE, 'PTR', { answers: [{ name: SERVICE, type: 'PTR', ttl: 4500, data: `unknown.${SERVICE}` }] }), FOREIGN);
    await clock.advance(10);
    expect(await queriesOf(1)).toBe(1);
  });

  test('who listens asks less and less', async () => {
    const { clock, wire, join } = segment();
    join(OURS).onAdvert(() => {});
    await clock.advance(2 * 3_600_000);
    const asked = wire.of(OURS, 'query');
    const gaps = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0));
    expect(gaps).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000, 2_048_000]);
  });

  test('asks for an instance of which it knows the name only, three times at most', async () => {
    const { clock, wire, join } = segment();
    join(OURS).onAdvert(() => {});
    await clock.advance(10);
    for (let round = 0; round < 10; round += 1) {
      wire.say({ type: 'response', answers: [{ name: SERVICE, type: 'PTR', ttl: 4500, data: `foreign.${SERVICE}` }] }, FOREIGN);
      await clock.advance(1000);
    }
    const asked = wire.of(OURS, 'query').filter(({ packet }) => packet.questions[0]?.name === `foreign.${SERVICE}`);
    expect(asked).toHaveLength(3);
  });

  test('its own records, which come back, and those that can not be read make nobody ask again and again', async () => {
    const { clock, wire, lan } = await settled();
    lan.onAdvert(() => {});
    const at = clock.monotonic();
    const [ptr, , text] = advertised(`garbage.${SERVICE}`, anAdvert('x')) as [Answer, Answer, Answer];
    const garbage: Packet = {
      type: 'response',
      answers: [ptr, srv(`garbage.${SERVICE}`, 'foreign.local'), { ...text, data: 'x' } as Answer],
    };
    for (let round = 0; round < 60; round += 1) {
      wire.say(ask(SERVICE, 'PTR'), FOREIGN);
      wire.say(garbage, FOREIGN);
      await clock.advance(1000);
    }
    const asked = wire.of(OURS, 'query', at).map(({ packet }) => packet.questions.map(({ name }) => name).join());
    expect(asked.filter((name) => name !== SERVICE)).toEqual(Array(3).fill(`garbage.${SERVICE}`));
    expect(asked.length).toBeLessThan(12);
  });

  test('forgets what is not said again, and asks for it before that', async () => {
    const { clock, wire, join } = segment();
    const lan = join(OURS);
    lan.onAdvert(() => {});
    wire.say({ type: 'response', answers: advertised(`foreign.${SERVICE}`, anAdvert('foreign')) }, FOREIGN);
    await clock.advance(110_000);
    const asked = wire.of(OURS, 'query').filter(({ packet }) => packet.questions[0]?.name === `foreign.${SERVICE}`);
    expect(asked).toHaveLength(1);
    expect(await browsed(clock, lan.browse(0), 10)).toEqual([anAdvert('foreign')]);
    await clock.advance(11_000);
    expect(await browsed(clock, lan.browse(0), 10)).toEqual([]);
  });
});

describe('what others send', () => {
  test('is tried as it comes, and nothing is thrown', async () => {
    const { clock, wire, lan, log } = await settled();
    const told: Advert[] = [];
    lan.onAdvert((advert) => told.push(advert));
    const texts = [
      [],
      [Buffer.alloc(0)],
      [Buffer.from('txtvers=1')],
      [Buffer.from([0xff, 0xfe, 0x3d, 0x00])],
      [Buffer.from('='), Buffer.from('=x')],
    ];
    for (const data of texts) {
      wire.say({ type: 'response', answers: [{ name: `x.${SERVICE}`, type: 'TXT', ttl: 120, data } as Answer] }, FOREIGN);
    }
    const nsec = { name: host, type: 'NSEC', ttl: 120, data: { nextDomain: host, rrtypes: ['A'] } } as Answer;
    const opt = { name: '.', type: 'OPT', udpPayloadSize: 4096, options: [] } as unknown as Answer;
    for (const type of ['query', 'response'] as const)
      wire.say({ type, answers: [nsec], additionals: [opt], authorities: [nsec] }, FOREIGN);
    await clock.advance(2000);
    expect(told).toEqual([]);
    expect(log.lines).toEqual([]);
  });

  test('may be anything: packets with bytes changed by chance are ignored or read, and the node still answers', async () => {
    const { clock, wire, lan } = await settled();
    lan.onAdvert(() => {});
    const random = seededRandom(7);
    const real = [...wire.of(OURS, 'query'), ...wire.of(OURS, 'response')].map(({ packet }) => encode(packet as unknown as Packet));
    let read = 0;
    for (let round = 0; round < 8000; round += 1) {
      const bytes = Buffer.from(real[round % real.length] ?? Buffer.alloc(12));
      for (let change = 0; change < 3; change += 1) bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
      const cut = random.next() < 0.1 ? Math.floor(random.next() * bytes.length) : bytes.length;
      if (wire.hearBytes(bytes.subarray(0, cut), FOREIGN)) read += 1;
      if (round % 1000 === 0) await clock.advance(1000);
    }
    expect(read).toBeGreaterThan(1000);
    await clock.advance(60_000);
    const at = clock.monotonic();
    wire.say(ask(SERVICE, 'PTR'), FOREIGN);
    await clock.advance(500);
    expect(wire.of(OURS, 'response', at).length).toBeGreaterThan(0);
  });

  test('a response that does not come from the port of multicast DNS is no response', async () => {
    const { clock, wire, join } = segment();
    const told: Advert[] = [];
    join(OURS).onAdvert((advert) => told.push(advert));
    await clock.advance(10);
    wire.say({ type: 'response', answers: advertised(`foreign.${SERVICE}`, anAdvert('foreign')) }, { ...FOREIGN, port: 40_000 });
    await clock.advance(10);
    expect(told).toEqual([]);
  });

  test('one sender can not fill the memory, nor drive out what another said', async () => {
    const { clock, wire, join } = segment();
    const lan = join(OURS);
    await clock.advance(10);
    wire.say({ type: 'response', answers: advertised(`friend.${SERVICE}`, anAdvert('friend')) }, { address: '10.0.0.2', port: 5353 });
    for (let index = 0; index < 600; index += 1) {
      wire.say({ type: 'response', answers: advertised(`flood-${index}.${SERVICE}`, anAdvert(`flood-${index}`)) }, FOREIGN);
    }
    await clock.advance(10);
    const known = await browsed(clock, lan.browse(0), 10);
    expect(known.length).toBeLessThanOrEqual(257);
    expect(known.map(({ node_id }) => node_id)).toContain('friend');
  });
});

describe('TXT records', () => {
  test.each([
    ['no version', ['fleet=f', 'site=s', 'node_id=n', 'epoch=1', 'url=u', 'sig=x']],
    ['another version', ['txtvers=2', 'fleet=f', 'site=s', 'node_id=n', 'epoch=1', 'url=u', 'sig=x']],
    ['an epoch below zero', ['txtvers=1', 'fleet=f', 'site=s', 'node_id=n', 'epoch=-1', 'url=u', 'sig=x']],
    ['an epoch that is no safe number', ['txtvers=1', 'fleet=f', 'site=s', 'node_id=n', 'epoch=9999999999999999', 'url=u', 'sig=x']],
    ['an empty field', ['txtvers=1', 'fleet=', 'site=s', 'node_id=n', 'epoch=1', 'url=u', 'sig=x']],
    ['nothing', []],
  ])('with %s are no advert', (_, strings) => {
    expect(fromTxt(strings.map((text) => Buffer.from(text)))).toBeUndefined();
  });

  test('are read without regard to the case of keys; the first of two counts, and what is unknown does not matter', () => {
    const strings = ['TXTVERS=1', 'Fleet=f', 'fleet=other', 'site=s', 'node_id=n', 'epoch=1', 'url=http://x?a=b', 'sig=x', 'new', '=y'];
    expect(fromTxt(strings.map((text) => Buffer.from(text)))).toEqual({
      fleet: 'f',
      site: 's',
      node_id: 'n',
      epoch: 1,
      url: 'http://x?a=b',
      signature: 'x',
    });
  });

  test('come back as they were written, and refuse what does not fit', () => {
    const advert = anAdvert('x'.repeat(128), { fleet: 'f'.repeat(128), site: 's'.repeat(128), epoch: Number.MAX_SAFE_INTEGER });
    expect(fromTxt(toTxt(advert))).toEqual(advert);
    expect(() => toTxt({ ...advert, url: `http://${'x'.repeat(250)}` })).toThrow('the url has 261 bytes; 255 fit into an advert');
  });
});

async function browsed(clock: SimulatedClock, adverts: AsyncIterable<Advert>, ms: number): Promise<Advert[]> {
  const found: Advert[] = [];
  const reading = (async () => {
    for await (const advert of adverts) found.push(advert);
  })();
  await clock.advance(ms);
  await reading;
  return found;
}
