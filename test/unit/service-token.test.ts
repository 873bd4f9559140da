import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServiceEnvironment } from '../../runtime-node/service-environment.ts';
import { deriveFleetKeys, holdsServiceToken, isServiceToken } from '../../shared/contract/fleet-keys.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';
import { FLEET_KEY } from '../runtime/harness.ts';
import { type FrontDoor, startFrontDoor } from './front-door.harness.ts';

const KEY = 'a fleet key that is only for tests';

describe('the token of a service', () => {
  it('is the same at each start of the node, and another for each service, node and fleet', async () => {
    const [keys, again, other] = await Promise.all([
      deriveFleetKeys('default', KEY),
      deriveFleetKeys('default', KEY),
      deriveFleetKeys('other', KEY),
    ]);
    const token = await keys.serviceToken('n1', 'api');
    expect(await again.serviceToken('n1', 'api')).toBe(token);
    const others = [await keys.serviceToken('n1', 'web'), await keys.serviceToken('n2', 'api'), await other.serviceToken('n1', 'api')];
    expect(new Set([token, ...others]).size).toBe(4);
    expect(isServiceToken(token)).toBe(true);
    expect(isServiceToken(await keys.nodeCredential('n1'))).toBe(false);
  });

  it('tells whose it is, and nothing once a part of it was changed', async () => {
    const keys = await deriveFleetKeys('default', KEY);
    const token = await keys.serviceToken('n1', 'api');
    expect(await keys.verifyServiceToken(token)).toEqual({ node_id: 'n1', service: 'api' });
    const parts = token.split('~');
    const forged = [parts.with(1, 'other'), parts.with(2, 'n2'), parts.with(3, 'web'), parts.with(4, 'AAAA'), parts.slice(0, 4)];
    for (const one of forged) expect(await keys.verifyServiceToken(one.join('~'))).toBeUndefined();
    expect(await keys.verifyNodeCredential(token)).toBeUndefined();
    expect(await keys.verifyServiceToken(await keys.nodeCredential('n1'))).toBeUndefined();
  });

  it('is in the environment of the service', async () => {
    const keys = await deriveFleetKeys('default', KEY);
    const environment = createServiceEnvironment({ node_id: 'n1', site: 'berlin', url: () => 'http://127.0.0.1:7420', keys });
    const { services } = ClusterPlan.parse({ services: [{ name: 'api', version: '1', command: ['api'] }] });
    const given = await Promise.all(services.map(environment));
    expect(given[0]).toMatchObject({ BOOTPLANE_URL: 'http://127.0.0.1:7420', BOOTPLANE_TOKEN: await keys.serviceToken('n1', 'api') });
  });
});

describe('a node that follows another', () => {
  let door: FrontDoor;
  beforeEach(async () => {
    door = await startFrontDoor();
  });
  afterEach(() => door.close());

  it('passes no call of the data API on, whoever leads', async () => {
    for (const request of [
      'GET /v1/objects/captures/k',
      'POST /v1/messages/cameras',
      'POST /v1/queues/q/messages',
      'GET /v1/vectors/F/a',
    ]) {
      await door.call(request);
    }
    expect(door.sent).toEqual([]);
  });

  it.each(['a leader', 'the cloud', 'nobody'])('shows the token of a service to nobody else: not to %s', async (who) => {
    if (who === 'the cloud') door.decider = { kind: 'cloud', url: 'https://cloud.example' };
    if (who === 'nobody') door.decider = { kind: 'nobody' };
    const token = await door.own.keys.serviceToken('me', 'api');
    for (const authorization of [`Bearer ${token}`, `bearer ${token}`]) {
      expect((await door.call('GET /v1/nodes', { headers: { authorization } })).status).toBe(403);
    }
    expect(door.sent).toEqual([]);
  });

  it.each(['a leader', 'the cloud'])('shows it to %s in no other writing either, and takes it for nobody else', async (who) => {
    if (who === 'the cloud') door.decider = { kind: 'cloud', url: 'https://cloud.example' };
    const token = await door.own.keys.serviceToken('me', 'api');
    const fleetKey = { authorization: `Bearer ${FLEET_KEY}` };
    const writings: Record<string, string>[] = [
      { authorization: `Bearer  ${token}` },
      { authorization: `Token ${token}` },
      { authorization: `Basic x, Bearer ${token}` },
      { authorization: `Bearer "${token}"` },
      { ...fleetKey, 'x-api-key': token },
    ];
    for (const headers of writings) expect((await door.call('GET /v1/nodes', { headers })).status).toBe(401);
    const beside = { authorization: `Bearer ${token}`, 'x-api-key': FLEET_KEY };
    expect((await door.call('GET /v1/nodes', { headers: beside })).status).toBe(403);
    expect(door.sent).toEqual([]);
  });

  it('passes on what a node calls whose name ends as a token starts', async () => {
    for (const [fleet, node_id] of [
      ['default', 'switch-10gbps'],
      ['bps', 'bps'],
    ] as const) {
      const credential = await (await deriveFleetKeys(fleet, KEY)).nodeCredential(node_id);
      expect([credential.includes('bps~'), holdsServiceToken(credential)]).toEqual([true, false]);
    }
    const authorization = `Bearer ${await door.own.keys.nodeCredential('switch-10gbps')}`;
    await door.call('GET /v1/nodes', { headers: { authorization } });
    expect(door.sent).toHaveLength(1);
  });
});
