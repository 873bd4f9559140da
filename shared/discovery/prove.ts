import { isLoopback } from '../contract/loopback.ts';

/** Why a cloud control URL must not be trusted with a credential, or undefined when its origin proves itself (`api.md`, Proof). */
export function whyUnproved(cloud_url: string): string | undefined {
  if (!URL.canParse(cloud_url)) return `${cloud_url} is not a URL; set BOOTPLANE_CLOUD_URL to one that starts with https://`;
  const { protocol } = new URL(cloud_url);
  if (protocol === 'https:') return undefined;
  if (protocol === 'http:' && isLoopback(cloud_url)) return undefined;
  return 'plain http proves nothing outside this machine, so no credential is sent there: set https in BOOTPLANE_CLOUD_URL';
}
