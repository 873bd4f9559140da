import type { Fetch } from '../shared/client.ts';
import { boundedFetch } from '../shared/discovery/bounded-fetch.ts';
import { createKnownNodes } from '../shared/discovery/known-nodes.ts';
import type { Membership } from '../shared/discovery/membership.ts';
import { createIdentityClient } from '../shared/identity-client.ts';
import type { SupervisorOptions } from '../shared/supervisor/app.ts';
import { createTokenBucket } from '../shared/supervisor/token-bucket.ts';
import type { Machine } from './compose.ts';
import type { Config } from './config.ts';

export interface NodeFinderParts {
  readonly config: Pick<Config, 'cloud_url' | 'lead' | 'fleet'>;
  readonly machine: Pick<Machine, 'files' | 'log' | 'clock' | 'random'>;
  /** Absent: this node holds the fleet key, and checks credentials itself. */
  readonly membership?: { readonly keys: Pick<Membership['keys'], 'local_credential' | 'documents' | 'replacedUntil'> };
  /** Shows the cloud what this node has for it. */
  readonly fetch: Fetch;
  leads(): boolean;
}

/** A node that calls its leader waits longer. */
const TOLD_WITHIN_MS = 3000;
/** Questions about credentials that are not known: as many a second for good, and after a pause at once. */
const QUESTIONS = { per_second: 20, burst: 200 };

/** For a node that may lead without the fleet key: only such a one needs to be told whose the credentials of others are. */
export function createNodeFinder(parts: NodeFinderParts): Pick<SupervisorOptions, 'finder'> {
  const { membership, machine, leads } = parts;
  const { cloud_url, lead, fleet } = parts.config;
  if (membership === undefined || cloud_url === undefined || !lead) return {};
  const signal = new AbortController().signal;
  const fetch = boundedFetch({ fetch: parts.fetch, clock: machine.clock, timeout_ms: () => TOLD_WITHIN_MS, signal });
  const { introspect } = createIdentityClient({ url: cloud_url, credential: membership.keys.local_credential, fetch });
  const limit = createTokenBucket({ clock: machine.clock, ...QUESTIONS });
  return { finder: createKnownNodes({ ...machine, fleet, keys: membership.keys, ask: introspect, limit, mayAsk: leads }) };
}
