import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { sha256, tarOf } from '../support/archives.ts';
import { until } from '../support/until.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { spawnCli } from './support/node-process.ts';

let fleet: Fleet | undefined;
afterEach(() => fleet?.close());

const runs = ({ dataDir, health }: Member) =>
  until(`the service on ${dataDir}`, async () =>
    (await health())?.services?.some(({ name, state }) => name === 'big' && state === 'running'),
  );

it('50 MB go to five nodes although the leader is killed on the way, and no node fetches a byte twice', async () => {
  const opened = await openFleet({ nodes: 5, args: () => ['--ttl-seconds', '3', '--host', '127.0.0.1'] });
  fleet = opened;
  const { members, key } = opened;
  // As root, services run as another user, who has to pass through.
  await chmod(dirname(members[0]!.dataDir), 0o711);
  await Promise.all(members.map((member) => member.start()));
  const leader = await opened.settled();

  const payload = new Uint8Array(50_000_000);
  for (let start = 0; start < payload.length; start += 50_000) crypto.getRandomValues(payload.subarray(start, start + 50_000));
  const archive = await tarOf([
    { name: 'payload', body: payload },
    { name: 'run', mode: 0o755, body: '#!/bin/sh\nwhile :; do sleep 1; done\n' },
  ]);
  const hash = sha256(archive);
  const file = join(dirname(leader.dataDir), 'big.tar');
  await writeFile(file, archive);
  const child = spawnCli(['artifact', 'push', file, '--url', leader.url], { BOOTPLANE_API_KEY: key });
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  const service = { name: 'big', version: '1', command: ['./run'], artifact: { sha256: hash, path: 'big.tar' }, stop_grace_seconds: 1 };
  await leader.client.publish('plan', { ttl_seconds: 3, services: [service] }, { if_match: 0 });

  const followers = members.filter((member) => member !== leader);
  await until('a part to have come', async () => {
    const sizes = followers.map(({ dataDir }) =>
      stat(join(dataDir, 'artifacts/partial', hash)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).some((size) => size > 1_000_000);
  });
  const before = await Promise.all(
    followers.map(({ dataDir }) =>
      stat(join(dataDir, 'artifacts', hash)).then(
        () => true,
        () => false,
      ),
    ),
  );
  expect(before).toContain(false);
  await leader.process?.end('SIGKILL');
  await leader.start();

  await Promise.all(members.map(runs));
  for (const { dataDir, process, node_id } of members) {
    expect(sha256(await readFile(join(dataDir, 'artifacts', hash, 'payload'))), node_id).toBe(sha256(payload));
    const fetched = (process?.output() ?? '').split('\n').filter((line) => line.includes('an artifact was fetched'));
    if (node_id === leader.node_id) continue;
    expect(
      fetched.map((line) => JSON.parse(line).received_bytes),
      node_id,
    ).toEqual([archive.length]);
  }
});
