import type { Random } from '../../shared/ports/random.ts';
import { FaultPhase } from './fault-phase.ts';
import { judged } from './invariants/index.ts';
import type { Broken } from './invariants/invariant.ts';
import { whyNotTogether } from './invariants/together.ts';
import { Operator } from './operator.ts';
import { Published } from './published.ts';
import { below, between, chance, pick, randomOf } from './random.ts';
import { Stranger } from './stranger.ts';
import type { TraceLevel } from './trace.ts';
import { addressOf, type Keyless, World, type WorldOptions } from './world.ts';

export interface SeedOptions {
  readonly nodes: number;
  /** How long the run takes, simulated. */
  readonly seconds: number;
  readonly keep?: readonly TraceLevel[];
  /** Whether nodes have joined without the fleet key; then the site has a cloud. */
  readonly keyless?: Keyless;
}

export interface SeedResult {
  readonly seed: number;
  readonly digest: string;
  readonly broken: Broken | undefined;
  /** How often each kind of fault was injected. */
  readonly faults: Readonly<Record<string, number>>;
  /** What was met on the way, and how often. */
  readonly covered: Readonly<Record<string, number>>;
  readonly events: number;
  readonly transcript: string;
}

/** Until then nothing is done to the nodes, milliseconds. */
const CALM_MS = 3000;
/** After the last fault all has to be well within so many TTLs. */
export const TOGETHER_WITHIN_TTLS = 8;
const TTLS_SECONDS = [4, 5, 6];

/** One world from its boot through its faults to the quiet in which it has to come together again. */
export async function runSeed(seed: number, options: SeedOptions): Promise<SeedResult> {
  const random = randomOf(seed, 'scenario');
  const ttl_seconds = pick(random, TTLS_SECONDS);
  const hasCloud = chance(random, 0.5);
  const { keyless } = options;
  const cloud = hasCloud || keyless !== undefined;
  const world = await World.create({
    seed,
    cloud,
    ttl_seconds,
    ...drawSite(random, options.nodes),
    ...(keyless === undefined ? {} : { keyless }),
    keep: options.keep ?? [],
  });
  world.network.lateShare = 0.5;
  const published = new Published();
  const operator = new Operator(world, published, randomOf(seed, 'operator'));
  const judge = judged(world, published);
  if (chance(random, 0.5)) world.strangers.push(new Stranger(world));
  const faults = new FaultPhase({ world, random, operator });

  bootAll(world, random);
  const first = world.machines[0];
  for (const kind of ['plan', 'profile'] as const)
    world.timeline.after(2000, () => void (first && operator.publish(cloud ? 'cloud' : first, kind)));
  const noisy_ms = options.seconds * 1000 - TOGETHER_WITHIN_TTLS * ttl_seconds * 1000;
  faults.plan(CALM_MS, noisy_ms);
  await world.run(options.seconds * 1000);
  if (judge.firstBroken === undefined) {
    const why = await whyNotTogether(world);
    if (why !== undefined) judge.broken('together again', why);
  }
  world.close();
  return {
    seed,
    digest: world.trace.digest,
    broken: judge.firstBroken,
    faults: faults.counts,
    covered: judge.counts,
    events: world.timeline.happened,
    transcript: world.trace.render(),
  };
}

/** What differs from site to site: nodes that may not lead, proxies, a network without multicast. */
function drawSite(random: Random, nodes: number): Pick<WorldOptions, 'nodes' | 'settings' | 'multicast'> {
  const unfit = chance(random, 0.15) ? below(random, nodes) : -1;
  const proxy = chance(random, 0.5) ? below(random, nodes) : -1;
  const multicast = !chance(random, 0.15);
  const named = !multicast || chance(random, 0.3);
  // The address of the stranger among them: somebody has mistyped one.
  const peers = [...Array.from({ length: nodes }, (_, index) => addressOf(index)), '10.0.0.66'].map((ip) => `http://${ip}:7420`).join(',');
  const settings = (node: number) => ({
    ...(node === unfit ? { BOOTPLANE_LEAD: 'off' } : {}),
    ...(node === proxy ? { BOOTPLANE_CAPABILITIES: 'proxy' } : {}),
    ...(named ? { BOOTPLANE_PEERS: peers } : {}),
  });
  return { nodes, settings, multicast };
}

function bootAll(world: World, random: Random): void {
  const together = chance(random, 0.5);
  for (const machine of world.machines)
    world.timeline.after(together ? between(random, 0, 50) : between(random, 0, 4000), () => machine.boot());
}
