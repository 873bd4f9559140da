import { cloneDisk } from './disk.ts';
import type { Machine } from './machine.ts';
import { MachineClock } from './machine-clock.ts';
import { Operator } from './operator.ts';
import { Published } from './published.ts';
import { randomOf } from './random.ts';
import { World, type WorldOptions } from './world.ts';

/** A story of a few nodes, told the same way each time. */
export interface Scenario {
  /** Of its transcript. */
  readonly name: string;
  /** What to look for, for the reader. */
  readonly about: string;
  readonly site: Pick<WorldOptions, 'nodes' | 'cloud' | 'keyless'>;
  play(stage: Stage): Promise<void>;
}

const TTL_SECONDS = 15;

/** What a scenario can do to its site. */
export class Stage {
  readonly world: World;
  readonly operator: Operator;

  constructor(world: World) {
    this.world = world;
    this.operator = new Operator(world, new Published(), randomOf(1, 'operator'));
  }

  async boot(...names: readonly string[]): Promise<void> {
    for (const machine of this.world.machines) if (names.length === 0 || names.includes(machine.name)) machine.boot();
    await this.pass(5);
  }

  /** Lets so many simulated seconds pass. */
  pass(seconds: number): Promise<void> {
    return this.world.run(seconds * 1000);
  }

  /** The one that leads, or of several the first. */
  get leader(): Machine {
    const leader = this.world.machines.find(({ state }) => state?.leads === true);
    if (leader === undefined) throw new Error('nobody leads');
    return leader;
  }

  get followers(): Machine[] {
    return this.world.machines.filter(({ state }) => state !== undefined && !state.leads);
  }

  async publish(at: Machine | 'cloud'): Promise<void> {
    void this.operator.publish(at, 'plan');
    await this.pass(2);
  }

  /** Cuts the network in two; returns how to mend it. */
  split(left: readonly Machine[], right: readonly Machine[]): () => void {
    const { network } = this.world;
    const pairs = left.flatMap((one) => right.flatMap((other) => [[one.name, other.name] as const, [other.name, one.name] as const]));
    for (const [from, to] of pairs) network.cut(from, to);
    this.say(`the network is split: ${left.map(({ name }) => name).join(', ')} | ${right.map(({ name }) => name).join(', ')}`);
    return () => {
      for (const [from, to] of pairs) network.mend(from, to);
      this.say('the network is whole again');
    };
  }

  say(text: string): void {
    this.world.say('', text);
  }
}

/** Plays a scenario and returns its transcript. */
export async function tell({ about, site, play }: Scenario): Promise<string> {
  const world = await World.create({ seed: 1, ttl_seconds: TTL_SECONDS, keep: ['step'], ...site });
  const stage = new Stage(world);
  await play(stage);
  world.close();
  return `${about}\n\n${world.trace.render()}\n`;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'simultaneous-boot',
    about: 'Four nodes boot at once, without a cloud and without any setting. One leads, at the first epoch, and the others follow it.',
    site: { nodes: 4, cloud: false },
    async play(stage) {
      await stage.boot();
      await stage.publish(stage.leader);
    },
  },
  {
    name: 'leader-crash',
    about:
      'The process of the leader is killed while its machine answers. Another leads at once, at a higher epoch; no service of the others is touched.',
    site: { nodes: 4, cloud: false },
    async play(stage) {
      await stage.boot();
      await stage.publish(stage.leader);
      const { leader } = stage;
      stage.say(`${leader.name} is killed`);
      leader.crash();
      await stage.pass(5);
      await stage.publish(stage.leader);
      stage.say(`${leader.name} is started again`);
      leader.boot();
      await stage.pass(10);
    },
  },
  {
    name: 'orderly-stop',
    about: 'The leader is asked to stop. It hands over before its services stop, and the next one leads at once.',
    site: { nodes: 4, cloud: false },
    async play(stage) {
      await stage.boot();
      await stage.publish(stage.leader);
      const { leader } = stage;
      stage.say(`${leader.name} is asked to stop`);
      void leader.stop();
      await stage.pass(20);
    },
  },
  {
    name: 'split-and-heal',
    about:
      'The network falls in two for several TTLs, and a plan is published on both sides. Afterwards one leads at an epoch above both, all have one plan, the other version is kept as a conflict, and only surplus copies stop.',
    site: { nodes: 5, cloud: false },
    async play(stage) {
      await stage.boot();
      await stage.publish(stage.leader);
      await stage.pass(20);
      const { leader, followers } = stage;
      const [near, ...far] = followers;
      const mend = stage.split(near === undefined ? [leader] : [leader, near], far);
      await stage.pass(40);
      const other = far.find(({ state }) => state?.leads === true);
      await stage.publish(leader);
      if (other !== undefined) await stage.publish(other);
      await stage.pass(10);
      mend();
      await stage.pass(60);
    },
  },
  {
    name: 'provisional-then-confirmed',
    about:
      'The nodes boot while the cloud is away: their leader is provisional. When the cloud comes back it confirms the leader, and its documents come down.',
    site: { nodes: 3, cloud: true },
    async play(stage) {
      const { cloud } = stage.world;
      if (cloud !== undefined) cloud.isAway = true;
      stage.say('the cloud is away');
      await stage.boot();
      await stage.pass(20);
      if (cloud !== undefined) cloud.isAway = false;
      stage.say('the cloud is back');
      await stage.publish('cloud');
      await stage.pass(40);
    },
  },
  {
    name: 'clone',
    about:
      'The disk of a node is copied to another machine, which boots as the same node. Both ends say so, and neither disturbs the services of the other. Then the copy is taken away.',
    site: { nodes: 3, cloud: false },
    async play(stage) {
      await stage.boot();
      await stage.publish(stage.leader);
      await stage.pass(10);
      const [original = stage.leader] = stage.followers;
      const { world } = stage;
      const copy = world.addMachine('copy', '10.0.0.99', new MachineClock(world.timeline));
      copy.replaceDisk(cloneDisk(original.disk, world.clock));
      stage.say(`a copy of the disk of ${original.name} boots on another machine`);
      copy.boot();
      await stage.pass(60);
      stage.say('the copy is taken away');
      world.removeMachine(copy);
      await stage.pass(60);
    },
  },
  {
    name: 'stale-leader-returns',
    about:
      'The machine of the leader sleeps for four TTLs with the cloud as arbiter. Another leads meanwhile. When the first one wakes it leads no more, from the first moment, and follows.',
    site: { nodes: 3, cloud: true },
    async play(stage) {
      await stage.boot();
      await stage.publish('cloud');
      await stage.pass(10);
      const { name } = stage.leader;
      stage.say(`${name} is suspended`);
      stage.world.timeline.suspend(name);
      await stage.pass(60);
      stage.say(`${name} wakes`);
      stage.world.timeline.resume(name);
      await stage.pass(30);
    },
  },
  {
    name: 'keyless-site',
    about:
      'No node of the site has the fleet key; the cloud signs. One leads, confirmed. The cloud goes away, and the leader is killed: another one leads, provisionally, and knows its nodes by what they prove. When both are back the cloud confirms the leader; only a surplus copy has stopped.',
    site: { nodes: 3, cloud: true, keyless: 'all' },
    async play(stage) {
      const { cloud } = stage.world;
      await stage.boot();
      await stage.publish('cloud');
      await stage.pass(10);
      if (cloud !== undefined) cloud.isAway = true;
      stage.say('the cloud is away');
      await stage.pass(30);
      const { leader } = stage;
      stage.say(`${leader.name} is killed`);
      leader.crash();
      await stage.pass(40);
      stage.say(`the cloud is back, and ${leader.name} is started again`);
      if (cloud !== undefined) cloud.isAway = false;
      leader.boot();
      await stage.pass(40);
      await stage.publish('cloud');
      await stage.pass(20);
    },
  },
];
