import { describe, expect, it } from 'vitest';
import { createProofFetch } from '../../runtime-node/proof-fetch.ts';
import { nodeProved, PROOF_HEADER, proveCredential } from '../../shared/contract/credential-proof.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { overlappingKeys } from '../../shared/contract/fleet-keys-overlap.ts';

const before = await deriveFleetKeys('default', 'the fleet key that is replaced');
const after = await deriveFleetKeys('default', 'the fleet key that replaces it');
const elsewhere = await deriveFleetKeys('other', 'the fleet key that replaces it');

describe('the proof of a derived credential', () => {
  it('holds for that credential, that node and that fleet', async () => {
    const [a, b] = [await after.nodeCredential('a'), await after.nodeCredential('b')];
    const proof = (await proveCredential(after, a)) ?? '';
    expect(await nodeProved(after, a, proof)).toMatchObject({ node_id: 'a' });
    for (const [keys, credential, given] of [
      [after, b, proof],
      [after, a.replace('~a~', '~b~'), proof],
      [after, `${a}x`, proof],
      [elsewhere, a, proof],
      [before, a, proof],
      [after, a, `${proof.slice(0, -2)}AA`],
      [after, a, ''],
      [after, 'no credential', proof],
    ] as const) {
      expect(await nodeProved(keys, credential, given), `${credential} ${given}`).toBeUndefined();
    }
  });

  it('is made for derived credentials alone', async () => {
    for (const text of [
      'the fleet key that replaces it',
      'bpi~default~k~secret',
      'bpf~default~a~mac',
      await after.serviceToken('a', 'api'),
    ]) {
      expect(await proveCredential(after, text)).toBeUndefined();
    }
  });

  it('holds by either key while a fleet key is replaced, and then by the new one alone', async () => {
    const old = await before.nodeCredential('a');
    const proof = (await proveCredential(before, old)) ?? '';
    expect(await nodeProved(overlappingKeys(after, before, 1), old, proof)).toEqual({ node_id: 'a', isByOldKey: true });
    expect(await nodeProved(after, old, proof)).toBeUndefined();
    // Of keys of before only what is stored is read.
    const retired = { ...after, retired_document_keys: [before.documents.public_key] };
    expect(await nodeProved(retired, old, proof)).toBeUndefined();
  });

  it('is no document: what signs the one is not taken for the other', async () => {
    const credential = await after.nodeCredential('a');
    const signed = await after.documents.sign({ purpose: 'document', fleet: 'default', node_id: 'a', sha256: 'x' });
    expect(await nodeProved(after, credential, signed)).toBeUndefined();
  });

  it('goes beside the own credential of a node that holds the key, and beside no other', async () => {
    const sent: Request[] = [];
    const fetch = await createProofFetch(
      async (request) => {
        sent.push(request);
        return new Response();
      },
      after,
      'a',
    );
    const own = await after.nodeCredential('a');
    for (const credential of [own, await after.nodeCredential('b'), 'the fleet key']) {
      await fetch(new Request('http://192.0.2.7:7420/v1/nodes', { headers: { authorization: `Bearer ${credential}` } }));
    }
    await fetch(new Request('http://192.0.2.7:7420/healthz'));
    const proofs = sent.map(({ headers }) => headers.get(PROOF_HEADER));
    expect(proofs.slice(1)).toEqual([null, null, null]);
    expect(await nodeProved(after, own, proofs[0] ?? '')).toMatchObject({ node_id: 'a' });
  });
});
