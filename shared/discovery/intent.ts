import type { Client } from '../client.ts';
import { fromWire } from '../contract/document.ts';
import { EnvironmentProfile } from '../contract/profile.ts';
import type { FormerNames, Intent } from '../reconcile/prune/index.ts';
import { connect } from './connect.ts';
import type { NodeContext } from './context.ts';
import { type Fetched, fetchDocument } from './fetch-document.ts';
import { messageOf } from './json-file.ts';
import { sourcesOf } from './sources.ts';

/** How many of the newest versions are read for what they named. */
const FORMER_VERSIONS = 100;
/** In the topics of refusals. */
const PROFILE = 'profile';

const NO_FORMER: FormerNames = { buckets: [], classes: [] };

/** What this node knows of what the fleet wants. `node`: undefined before it has started. */
export function createIntent(node: () => NodeContext | undefined): Intent {
  return {
    profile() {
      const held = node()?.documents.profile;
      if (held === undefined) return undefined;
      const { generation, hash } = held.document.meta;
      return { body: held.body, generation, hash };
    },
    doubts: () => doubtsOf(node()),
    async ask() {
      const known = node();
      const doubts = doubtsOf(known);
      // Who may not remove anything anyhow need not ask around.
      return known === undefined || doubts.length > 0 ? doubts : askAround(known);
    },
    async former() {
      const known = node();
      return known === undefined ? NO_FORMER : readFormer(known);
    },
  };
}

function doubtsOf(node: NodeContext | undefined): string[] {
  if (node === undefined) return ['this node is starting'];
  const { standing, refusals, documents } = node;
  const { phase, provisional } = standing.snapshot();
  const refused = refusals.of(PROFILE);
  const isEmergency = documents.profile?.document.meta.emergency !== undefined;
  return [
    ...(phase === 'running' ? [] : [`this node is ${phase}`]),
    ...(standing.located === undefined ? ['no control plane is followed now, so a newer profile may exist that this node can’t see'] : []),
    ...(provisional ? ['the leader is provisional: the cloud has not confirmed it'] : []),
    ...(refused === undefined ? [] : [refused]),
    ...(isEmergency ? ['this node follows an emergency version of the profile: publish at the cloud what is to stay'] : []),
  ];
}

interface Asked {
  readonly client: Client;
  /** Its answer decides: one that is missing or behind is a doubt too. */
  readonly decides: boolean;
}

/** The control plane that is followed, the cloud, this node's own Supervisor and every other node in reach, all at once. */
async function askAround(node: NodeContext): Promise<string[]> {
  const over = new AbortController();
  const asked: Promise<string | undefined>[] = [];
  const seen = new Set<string>();
  const ask = ({ client, decides }: Asked) => {
    if (seen.has(client.url)) return;
    seen.add(client.url);
    asked.push(askOne(node, { client, decides }));
  };
  const to = (url: string, fetch: NodeContext['deps']['fetch']) =>
    connect({ deps: node.deps, credential: node.credential, signal: over.signal }, { url, fetch });
  const { located } = node.standing;
  const { self, config, fetch } = node.deps;
  try {
    if (located !== undefined) ask({ client: to(located.url, located.fetch), decides: true });
    ask({ client: to(self.url, self.fetch), decides: false });
    if (config.cloud_url !== undefined) ask({ client: to(config.cloud_url, fetch), decides: false });
    for await (const source of sourcesOf(node, over.signal)) {
      const client = to(source.url, source.fetch);
      ask({ client, decides: false });
      asked.push(askApplied(node, client));
    }
    const doubts = await Promise.all(asked);
    return [...doubtsOf(node), ...doubts.filter((doubt) => doubt !== undefined)];
  } finally {
    over.abort();
  }
}

async function askOne(node: NodeContext, { client, decides }: Asked): Promise<string | undefined> {
  try {
    const held = node.documents.profile;
    const fetched = await fetchDocument(node.deps, { client, kind: PROFILE, held });
    return doubtFrom(fetched, client.url, decides);
  } catch (error) {
    return decides ? `${client.url}, which this node follows, does not say which profile is current: ${messageOf(error)}` : undefined;
  }
}

/** A node that follows passes a question for the profile on to its leader, and so says what that has: of itself it says what it applied. */
async function askApplied({ documents }: NodeContext, client: Client): Promise<string | undefined> {
  const { storage, broker, vector } = (await client.health().catch(() => undefined))?.body.components ?? {};
  const applied = Math.max(...[storage, broker, vector].map((one) => one?.generation ?? 0));
  const held = documents.profile?.document.meta.generation ?? 0;
  return applied > held ? `${client.url} has applied a newer profile (generation ${applied}) than this node has` : undefined;
}

function doubtFrom(fetched: Fetched<'profile'>, url: string, decides: boolean): string | undefined {
  switch (fetched.outcome) {
    case 'current':
      return undefined;
    case 'accepted':
      return `${url} has a newer profile (generation ${fetched.held.document.meta.generation}) than this node has applied`;
    case 'refused':
      return `${url} has a profile that can’t be used: ${fetched.reason}`;
    case 'missing':
      return decides ? `${url}, which this node follows, has no profile` : undefined;
    case 'behind':
      return decides ? `${url}, which this node follows, has another profile: ${fetched.reason}` : undefined;
    default:
      return fetched satisfies never;
  }
}

/** From the history that this node's own Supervisor has. What can't be read names nothing. */
async function readFormer(node: NodeContext): Promise<FormerNames> {
  const over = new AbortController();
  const client = connect({ deps: node.deps, credential: node.credential, signal: over.signal }, node.deps.self);
  const [buckets, classes] = [new Set<string>(), new Set<string>()];
  try {
    const { versions } = (await client.history(PROFILE)).body;
    for (const { generation, hash } of versions.slice(0, FORMER_VERSIONS)) {
      const { body } = fromWire(PROFILE, '', (await client.version(PROFILE, generation, hash)).body);
      const parsed = EnvironmentProfile.safeParse(body).data;
      for (const { name } of parsed?.storage.buckets ?? []) buckets.add(name);
      for (const { name } of parsed?.vector.classes ?? []) classes.add(name);
    }
  } catch (error) {
    node.deps.log.warn(`the earlier profiles can't be read, so prune shows only what this node itself made: ${messageOf(error)}`);
  } finally {
    over.abort();
  }
  return { buckets: [...buckets], classes: [...classes] };
}
