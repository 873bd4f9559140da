import { ApiError, type Client, createClient } from '../../shared/client.ts';
import type { DocumentKind } from '../../shared/contract/document.ts';
import type { Random } from '../../shared/ports/random.ts';
import { CLOUD_URL } from './cloud.ts';
import type { Machine } from './machine.ts';
import type { PlanInput, Published } from './published.ts';
import { below, chance } from './random.ts';
import { FLEET_KEY, type World } from './world.ts';

/** A person who publishes, at the cloud or on one of the machines. What is published there may be refused, as in life. */
export class Operator {
  readonly #world: World;
  readonly #published: Published;
  readonly #random: Random;
  #versions = 0;
  #profiles = 0;

  constructor(world: World, published: Published, random: Random) {
    this.#world = world;
    this.#published = published;
    this.#random = random;
  }

  /** The next version of one of the documents, given to whoever answers at `at`. Never rejects. */
  async publish(at: Machine | 'cloud', kind: DocumentKind = chance(this.#random, 0.5) ? 'plan' : 'profile'): Promise<void> {
    this.#versions += 1;
    const body = kind === 'plan' ? this.#nextPlan() : this.#nextProfile();
    const who = at === 'cloud' ? 'admin' : at.name;
    const fetch = this.#world.fetchAs(who);
    // Made for each call: the address of a machine may change between two.
    const client = () => createClient({ url: at === 'cloud' ? CLOUD_URL : at.origin, credential: FLEET_KEY, fetch });
    // Some do so without having asked the cloud.
    if (at !== 'cloud' && this.#world.cloud !== undefined && chance(this.#random, 0.3)) return this.#breakGlass(client, who, kind, body);
    try {
      const current = await client().document(kind).catch(noneYet);
      const generation = Number(current?.body?.generation ?? 0);
      const { body: answer } = await client().publish(kind, body, { if_match: generation });
      this.#world.say(who, `publishes ${kind} version ${this.#versions}: generation ${answer.generation}`);
    } catch (error) {
      this.#world.say(
        who,
        `could not publish ${kind} version ${this.#versions}: ${error instanceof Error ? error.message : String(error)}`,
      );
      if (isCutOff(error) && chance(this.#random, 0.5)) await this.#breakGlass(client, who, kind, body);
    }
  }

  /** What can't wait for the cloud is published for the site alone. */
  async #breakGlass(client: () => Client, who: string, kind: DocumentKind, body: unknown): Promise<void> {
    try {
      const current = await client().document(kind).catch(noneYet);
      const { body: answer } = await client().publish(kind, body, { if_match: current?.etag ?? 0, break_glass: true });
      const { base_generation, n } = answer.emergency ?? { base_generation: 0, n: 0 };
      this.#world.say(who, `breaks glass for ${kind} version ${this.#versions}: emergency version ${n} on generation ${base_generation}`);
    } catch (error) {
      this.#world.say(who, `could not break glass: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #nextPlan(): PlanInput {
    const plan = planVersion(this.#world.options.ttl_seconds, this.#versions, below(this.#random, 4));
    this.#published.plans.push(plan);
    return plan;
  }

  /** The first one has something kept; without it the later ones could destroy nothing. */
  #nextProfile() {
    this.#profiles += 1;
    const isHarsh = chance(this.#random, 0.7) && this.#profiles > 1;
    return profileVersion(this.#versions, isHarsh);
  }
}

function isCutOff(error: unknown): boolean {
  return error instanceof ApiError && error.problem.code === 'unavailable' && error.problem.detail.includes('--break-glass');
}

function noneYet(error: unknown): undefined {
  if (error instanceof ApiError && ['no_plan', 'no_profile'].includes(error.problem.code)) return undefined;
  throw error;
}

/** A plan with one service of each kind of placement. `changed` says which of them has a new version. */
export function planVersion(ttl_seconds: number, version: number, changed: number): PlanInput {
  const of = (number: number) => (number === changed ? String(version) : '1');
  return {
    ttl_seconds,
    services: [
      { name: 'everywhere', version: of(0), command: ['stay'] },
      { name: 'counted', version: of(1), command: ['stay'], placement: { count: 2 } },
      { name: 'of-leader', version: of(2), command: ['stay'], placement: { roles: ['leader'] } },
      { name: 'of-proxy', version: of(3), command: ['stay'], placement: { roles: ['proxy'] } },
    ],
  };
}

/** A harsh one asks for what would shorten the life of data, which no node may do by itself. */
export function profileVersion(version: number, isHarsh: boolean) {
  const captures = { name: 'captures', versioning: !isHarsh, lifecycle: [{ id: 'old', expire_days: isHarsh ? 10 : 30 }] };
  return {
    storage: { buckets: [captures, { name: `bucket-${version}` }] },
    broker: {
      exchanges: [{ name: 'facts', type: 'topic' }],
      queues: [{ name: 'work', ttl_ms: 60_000 }],
      bindings: [{ exchange: 'facts', queue: 'work', key: '#' }],
    },
    vector: { classes: [{ name: 'Fact', properties: [{ name: 'text', type: 'text' }] }] },
  };
}
