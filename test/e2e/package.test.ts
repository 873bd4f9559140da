import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildPackage } from '../lan/support/built-package.ts';

const run = promisify(execFile);
const built: { folder: string; remove(): Promise<void> } = { folder: '', remove: async () => undefined };

beforeAll(async () => {
  const { program, remove } = await buildPackage();
  Object.assign(built, { folder: dirname(dirname(program)), remove });
});
afterAll(() => built.remove());

const SERVICE = `
import { ApiError, connectServices, type Delivery } from 'bootplane/services';
const { objects, messages, vectors } = connectServices({ url: 'http://127.0.0.1:1', token: 't' });
export async function work(): Promise<string | undefined> {
  const info = await objects.put('captures', 'k', new Uint8Array([1]), { if_absent: true });
  await messages.publish('cameras', { key: 'frame.new', message_id: info.key, body: 'text', headers: { size: info.size } });
  const consumer = messages.consume('frames', async (delivery: Delivery) => void delivery.text(), { prefetch: 4 });
  await consumer.stop();
  await vectors.upsert('Frame', [{ id: 'a', vector: [1, 2], meta: { camera: 'door' } }]);
  const [hit] = await vectors.search('Frame', { vector: [1, 2], where: { camera: 'door' } });
  return hit?.id ?? (await objects.get('captures', 'k'))?.text();
}
work().catch((error: unknown) => console.log(error instanceof ApiError ? 'a problem' : String(error)));
`;

it('a service is written against bootplane/services, with types, and runs on it', async () => {
  await writeFile(join(built.folder, 'service.ts'), SERVICE);
  const flags = [
    '--noEmit',
    '--strict',
    '--target',
    'es2024',
    '--module',
    'nodenext',
    '--types',
    'node',
    '--skipLibCheck',
    '--ignoreConfig',
  ];
  await run(join(built.folder, 'node_modules/.bin/tsc'), [...flags, 'service.ts'], { cwd: built.folder }).catch((error) => {
    throw new Error(`${error.stdout}${error.stderr}`);
  });
  const { stdout } = await run(process.execPath, ['service.ts'], { cwd: built.folder });
  expect(stdout).toContain('UnreachableError: http://127.0.0.1:1 does not answer');
});

it('the files of the dashboard are in it', async () => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: built.folder });
  const packed = new Set(stdout.match(/(?<="path": ")[^"]+/g));
  for (const name of await readdir('shared/dashboard/public')) expect(packed).toContain(`shared/dashboard/public/${name}`);
});
