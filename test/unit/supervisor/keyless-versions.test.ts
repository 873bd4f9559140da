import { expect, it, onTestFinished } from 'vitest';
import { type SignedDocument, signDocument, toWire } from '../../../shared/contract/document.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import { memberKeys } from '../../../shared/contract/member-keys.ts';
import { call, FLEET_KEY, type Harness } from '../../runtime/harness.ts';
import { startOnNode } from '../../runtime/node-harness.ts';

const LOCAL_KEY = 'C'.repeat(43);
const holder = await deriveFleetKeys('default', FLEET_KEY);

const version = (name: string, generation: number, parent?: SignedDocument) =>
  signDocument(holder.documents, {
    ...{ kind: 'plan', fleet: 'default', body: { services: [{ name, version: '1', command: ['true'] }] } },
    meta: {
      ...{ generation, epoch: 1, published_by: 'ann', published_at: toTimestamp(0) },
      ...(parent === undefined ? {} : { parent: parent.meta.hash }),
    },
  });

const offer = (harness: Harness, versions: readonly SignedDocument[]) => {
  const { generation, hash } = versions.at(-1)?.meta ?? {};
  const body = { versions: versions.map(toWire), current: { generation, hash } };
  return call(harness, 'POST /v1/cluster/plan/versions', { body, as: LOCAL_KEY });
};

it('the Supervisor of a leader without the fleet key publishes nothing again: it keeps what it has, and what diverged, for the cloud to decide', async () => {
  const given = { node_id: 'me', fleet: 'default', joined_at: 'https://cloud.example', is_cloud: true };
  const { discovery_key, documents } = holder;
  const trusted = { discovery_key, document_keys: [documents.public_key], retired_document_keys: [] };
  const keys = await memberKeys({ ...given, ...trusted, local_key: LOCAL_KEY, asked_at: toTimestamp(0) }, () => 0);
  const harness = await startOnNode({ fleets: { default_fleet: 'default', keysOf: async () => keys } });
  onTestFinished(() => harness.close());
  const base = await version('base', 1);
  const ours = await version('ours', 2, base);
  expect((await offer(harness, [base, ours])).body).toMatchObject({ outcome: 'adopted' });

  const second = await version('theirs', 2, base);
  const third = await version('theirs-more', 3, second);
  for (let again = 0; again < 2; again += 1) {
    const reply = await offer(harness, [second, third]);
    expect(reply).toMatchObject({ status: 200, body: { outcome: 'conflict', current: { hash: ours.meta.hash }, open_conflicts: 1 } });
  }
  const { versions } = (await call(harness, 'GET /v1/cluster/plan/history', { as: LOCAL_KEY })).body;
  expect(versions.map(({ hash }: { hash: string }) => hash).sort()).toEqual(
    [base, ours, second, third].map(({ meta }) => meta.hash).sort(),
  );
  expect(versions.filter(({ conflict }: { conflict: boolean }) => conflict)).toMatchObject([{ generation: 3 }]);
  expect(harness.emitted.filter(({ topic }) => topic === 'overlay.conflict')).toHaveLength(1);

  // What the cloud decides stands above both.
  const decided = await version('decided', 4, ours);
  expect((await offer(harness, [decided])).body).toMatchObject({ outcome: 'adopted', current: { generation: 4 } });
});
