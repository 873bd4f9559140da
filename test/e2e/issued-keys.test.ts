import { afterEach, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { createIdentityClient } from '../../shared/identity-client.ts';
import { type Fleet, openFleet } from './support/fleet-process.ts';

let fleet: Fleet | undefined;
afterEach(async () => {
  await fleet?.close();
  fleet = undefined;
});

it('a key that was issued through any node of a site opens all of them, and none after it is revoked at another', async () => {
  fleet = await openFleet({ nodes: 3 });
  const { key: credential, members } = fleet;
  for (const member of members) await member.start();
  const leader = await fleet.settled();
  const followers = members.filter((one) => one !== leader);
  const [near, far] = followers.map(({ url }) => createIdentityClient({ url, fetch, credential }));
  const issued = await near?.createKey({ scope: 'viewer', label: 'hall' });
  expect(issued?.leader_node_id).toBe(leader.node_id);
  const with_key = members.map(({ url }) => createClient({ url, credential: issued?.key ?? '' }));
  for (const client of with_key) expect((await client.nodes()).body.nodes).toHaveLength(3);
  await expect(with_key[0]?.publish('plan', { services: [] }, { if_match: 0 })).rejects.toMatchObject({ problem: { status: 403 } });
  await far?.revokeKey(issued?.key_id ?? '');
  for (const client of with_key) await expect(client.nodes()).rejects.toMatchObject({ problem: { status: 401 } });
});
