import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signDocument, toWire } from '../../shared/contract/document.ts';
import { deriveFleetKeys, type FleetKeys } from '../../shared/contract/fleet-keys.ts';
import { type ChildServer, startServer } from '../support/child-server.ts';
import { transcribe } from './support/transcript.ts';
import { OFFERED_PLAN, STEPS } from './support/transcript-steps.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const KEY = 'the fleet key of the transcript';
const PAGE = 'docs/TECHNICAL/api-transcript.md';
const INTRO = `# The API, call by call

What curl shows of every call, good and bad. A test makes this page on Node with SQLite and under \`wrangler dev\` with D1 and
fails when the two differ, or when this page is not what they say (\`UPDATE_TRANSCRIPT=1 npx vitest run test/e2e/transcript.test.ts\` writes it).
\`$KEY\` is the fleet key, \`$NODE_KEY\` the credential of \`node-1\`, \`$OFFER\` a signed version of the Cluster Plan. Times, signatures and the rest of a lease are replaced.

`;

const has_curl = spawnSync('curl', ['--version']).status === 0;

let node: ChildServer;
let worker: WorkerProcess;

beforeAll(async () => {
  if (!has_curl) return;
  node = await startServer('test/support/supervisor-server.ts', { FLEET_KEY: KEY, TTL_SECONDS: '60' });
  worker = await startWorkerProcess(KEY, { BOOTPLANE_TTL_SECONDS: '60' });
});
afterAll(async () => {
  await node?.stop();
  await worker?.stop();
});

describe.runIf(has_curl)('the transcript of every call (needs curl)', () => {
  it('is the same on Node with SQLite and on Workers with D1, and is the one in the documentation', async () => {
    const keys = await deriveFleetKeys('default', KEY);
    const node_key = await keys.nodeCredential('node-1');
    const offer = await offerOf(keys);
    const onNode = await transcribe(STEPS, { url: `http://127.0.0.1:${node.ready.port}`, key: KEY, node_key, offer });
    const onWorkers = await transcribe(STEPS, { url: worker.url, key: KEY, node_key, offer });
    expect(onWorkers).toBe(onNode);
    const openapi = async (url: string) => (await fetch(`${url}/v1/openapi.json`, { headers: { authorization: `Bearer ${KEY}` } })).json();
    expect(await openapi(worker.url)).toEqual(await openapi(`http://127.0.0.1:${node.ready.port}`));
    if (process.env.UPDATE_TRANSCRIPT === '1') await writeFile(PAGE, INTRO + onNode);
    expect(INTRO + onNode).toBe(await readFile(PAGE, 'utf8'));
  });
});

/** The first version of another Supervisor of the fleet, which knew nothing of this one's. */
async function offerOf({ documents }: FleetKeys): Promise<string> {
  const meta = { generation: 1, published_by: 'fleet-key', published_at: '2026-11-22T12:00:00.000Z', epoch: 1 };
  const document = await signDocument(documents, { kind: 'plan', fleet: 'default', body: OFFERED_PLAN, meta });
  return JSON.stringify({ versions: [toWire(document)], current: { generation: 1, hash: document.meta.hash } });
}
