import { afterEach, expect, it } from 'vitest';
import { type Boot, CLOUD, keys, Machine } from './harness.ts';

const boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots.splice(0)) boot.crash();
});

async function sourcesOf(cloud_url?: string) {
  const machine = new Machine();
  const sent: (string | null)[] = [];
  const fetch = async (request: Request) => {
    if (new URL(request.url).pathname.startsWith('/v1/artifacts')) sent.push(request.headers.get('authorization'));
    return machine.cloud.fetch(request);
  };
  const boot = await machine.boot(cloud_url === undefined ? {} : { cloud_url }, { fetch });
  boots.push(boot);
  await machine.elapse(5_000);
  const found = [];
  for await (const source of boot.discovery.sources(new AbortController().signal)) found.push(source);
  return { found, sent, boot };
}

it('a leader that lacks an artifact asks its cloud, with its own credential', async () => {
  const { found, sent, boot } = await sourcesOf(CLOUD);
  expect(boot.discovery.state()).toMatchObject({ leads: true, source: 'self' });
  expect(found.map(({ url }) => url)).toEqual([CLOUD]);
  await found[0]?.fetch(new Request(`${CLOUD}/v1/artifacts/${'a'.repeat(64)}`));
  expect(sent).toEqual([`Bearer ${await keys.nodeCredential(boot.node_id)}`]);
});

it('without a cloud there is nobody to ask, and plain http to another machine is asked for nothing', async () => {
  expect((await sourcesOf()).found).toEqual([]);
  expect((await sourcesOf('http://cloud.example')).found).toEqual([]);
});
