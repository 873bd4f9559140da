import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { Store } from './object-storage.s3.support.ts';

/** Why the foreign client can't be run here; undefined where it can. */
export function whyNoAws(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => existsSync(join(folder, 'aws'))) ? undefined : 'needs aws (apt install awscli)';
}

/** `aws s3api …` as another program on the same store. Resolves with what it printed, read as JSON; undefined for nothing. */
export async function aws(store: Store, ...args: string[]): Promise<unknown> {
  const keys = {
    AWS_ACCESS_KEY_ID: store.access_key,
    AWS_SECRET_ACCESS_KEY: store.secret_key,
    AWS_DEFAULT_REGION: store.region ?? 'us-east-1',
  };
  const env = {
    ...process.env,
    ...keys,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const words = ['--endpoint-url', store.endpoint, '--output', 'json', 's3api', ...args];
  const { stdout } = await promisify(execFile)('aws', words, { env, maxBuffer: 2 ** 26 });
  return stdout.trim() === '' ? undefined : JSON.parse(stdout);
}
