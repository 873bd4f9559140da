import type { Random } from '../../shared/ports/random.ts';
import { cloneDisk, emptyDisk } from './disk.ts';
import type { Machine } from './machine.ts';
import { MachineClock } from './machine-clock.ts';
import { CLOUD_HOST } from './network.ts';
import type { Operator } from './operator.ts';
import { below, between, chance, pick } from './random.ts';
import type { World } from './world.ts';

export interface FaultContext {
  readonly world: World;
  readonly random: Random;
  readonly operator: Operator;
}

/** Does one kind of harm, says so in the trace, and returns how to take it back, where that can be done. */
type Fault = (context: FaultContext) => (() => void) | undefined;

const SECOND = 1000;
const DAY = 86_400 * SECOND;

/** Every kind, with how often it is drawn against the others. */
export const FAULTS = {
  loss: [3, weather('loses packets', (random, { lan }) => (lan.loss = between(random, 0.05, 0.3)))],
  delay: [2, weather('is slow', (random, { lan }) => (lan.delay = [between(random, 1, 50), between(random, 50, 400)]))],
  reordering: [2, weather('reorders', (_random, { lan }) => (lan.delay = [0.1, 250]))],
  duplication: [2, weather('doubles requests and packets', (random, { lan }) => (lan.duplicates = between(random, 0.05, 0.4)))],
  'bad internet': [
    1,
    weather('has a bad line to the cloud', (random, { internet }) =>
      Object.assign(internet, { loss: between(random, 0.05, 0.3), delay: [50, 900], duplicates: 0.1 }),
    ),
  ],
  partition: [4, partition],
  'one-way cut': [3, cutOneWay],
  'node cut off': [2, cutOff],
  'cloud away': [3, cloudAway],
  'cloud cut off for some': [2, cutFromCloud],
  crash: [4, crash],
  'leader crash': [3, crashLeader],
  'power off': [2, powerOff],
  'disk lost': [1, loseDisk],
  'orderly stop': [2, stop],
  suspend: [2, suspend],
  'clock jump': [2, jumpClock],
  'slow disk': [2, slowDisk],
  clone: [1, clone],
  'address change': [1, changeAddress],
  'service crash': [2, crashService],
  publish: [5, publish],
  'publish on both sides': [2, publishTwice],
} as const satisfies Record<string, readonly [number, Fault]>;

export type FaultName = keyof typeof FAULTS;

export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

/** Draws a kind by its weight. */
export function drawFault(random: Random): FaultName {
  const weights = FAULT_NAMES.map((name) => FAULTS[name][0]);
  let left = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const name of FAULT_NAMES) {
    left -= FAULTS[name][0];
    if (left < 0) return name;
  }
  return 'crash';
}

function weather(words: string, change: (random: Random, network: World['network']) => unknown): Fault {
  return ({ world, random }) => {
    change(random, world.network);
    world.say('network', words);
    return () => {
      world.network.calm();
      world.say('network', 'is fair again');
    };
  };
}

function anyMachine({ world, random }: FaultContext): Machine {
  return pick(random, world.machines);
}

function cutAll(world: World, froms: readonly string[], tos: readonly string[]): () => void {
  for (const from of froms) for (const to of tos) world.network.cut(from, to);
  return () => {
    for (const from of froms) for (const to of tos) world.network.mend(from, to);
  };
}

function split({ world, random }: FaultContext): [string[], string[]] {
  const names = world.machines.map(({ name }) => name);
  const left = names.filter(() => chance(random, 0.5));
  const some = left.length === 0 || left.length === names.length ? [pick(random, names)] : left;
  return [some, names.filter((name) => !some.includes(name))];
}

function partition(context: FaultContext): () => void {
  const { world, random } = context;
  const [left, right] = split(context);
  const withCloud = world.cloud !== undefined && chance(random, 0.4) ? [...right, CLOUD_HOST] : right;
  const undo = [cutAll(world, left, withCloud), cutAll(world, withCloud, left)];
  world.say('network', `is split: ${left.join(', ')} | ${withCloud.join(', ')}`);
  return () => {
    for (const one of undo) one();
    world.say('network', 'is whole again');
  };
}

function cutOneWay(context: FaultContext): () => void {
  const { world } = context;
  const [left, right] = split(context);
  const undo = cutAll(world, left, right);
  world.say('network', `loses all from ${left.join(', ')} to ${right.join(', ')}`);
  return () => {
    undo();
    world.say('network', 'is whole again');
  };
}

function cutOff(context: FaultContext): () => void {
  const { world } = context;
  const { name } = anyMachine(context);
  const others = [...world.machines.map((machine) => machine.name).filter((one) => one !== name), CLOUD_HOST];
  const undo = [cutAll(world, [name], others), cutAll(world, others, [name])];
  world.say(name, 'is cut off');
  return () => {
    for (const one of undo) one();
    world.say(name, 'is on the network again');
  };
}

function cloudAway({ world }: FaultContext): (() => void) | undefined {
  const { cloud } = world;
  if (cloud === undefined) return undefined;
  cloud.isAway = true;
  world.say('cloud', 'is away');
  return () => {
    cloud.isAway = false;
    world.say('cloud', 'is back');
  };
}

function cutFromCloud(context: FaultContext): (() => void) | undefined {
  const { world } = context;
  if (world.cloud === undefined) return undefined;
  const [some] = split(context);
  const undo = [cutAll(world, some, [CLOUD_HOST]), cutAll(world, [CLOUD_HOST], some)];
  world.say('network', `cuts ${some.join(', ')} from the cloud`);
  return () => {
    for (const one of undo) one();
    world.say('network', `lets ${some.join(', ')} reach the cloud again`);
  };
}

function crash(context: FaultContext): () => void {
  return crashOne(context, anyMachine(context));
}

function crashLeader(context: FaultContext): (() => void) | undefined {
  const leader = context.world.machines.find(({ state }) => state?.leads === true);
  return leader && crashOne(context, leader);
}

function crashOne({ world }: FaultContext, machine: Machine): () => void {
  world.say(machine.name, machine.state?.leads === true ? 'is killed while it leads' : 'is killed');
  machine.crash();
  return () => machine.boot();
}

function powerOff(context: FaultContext): () => void {
  const machine = anyMachine(context);
  context.world.say(machine.name, 'loses its power');
  machine.powerOff();
  return () => machine.boot();
}

function loseDisk(context: FaultContext): () => void {
  const machine = anyMachine(context);
  context.world.say(machine.name, 'loses its disk');
  machine.powerOff();
  machine.replaceDisk(emptyDisk(context.world.clock));
  return () => machine.boot();
}

function stop(context: FaultContext): () => void {
  const machine = anyMachine(context);
  context.world.say(machine.name, 'is asked to stop');
  void machine.stop();
  return () => {
    machine.crash();
    machine.boot();
  };
}

function suspend(context: FaultContext): () => void {
  const { world } = context;
  const { name } = anyMachine(context);
  world.timeline.suspend(name);
  world.say(name, 'is suspended');
  return () => {
    if (!world.timeline.isSuspended(name)) return;
    world.timeline.resume(name);
    world.say(name, 'wakes');
  };
}

function jumpClock(context: FaultContext): undefined {
  const { world, random } = context;
  const machine = anyMachine(context);
  const ms = pick(random, [-SECOND, SECOND, -60 * SECOND, 60 * SECOND, -DAY, DAY, 400 * DAY, -20_000 * DAY]);
  machine.clock.jump(ms);
  world.say(machine.name, `has its clock set ${ms < 0 ? 'back' : 'forward'} by ${Math.abs(ms) / SECOND} s`);
}

function slowDisk(context: FaultContext): () => void {
  const { world, random } = context;
  const { name } = anyMachine(context);
  world.diskDelays.set(name, between(random, 10, 400));
  world.say(name, 'has a slow disk');
  return () => {
    world.diskDelays.delete(name);
    world.say(name, 'has a fast disk again');
  };
}

/** Boots an image of a machine beside it. A person ends the trouble by taking the copy away. */
function clone(context: FaultContext): () => void {
  const { world, random } = context;
  const original = pick(random, world.machines);
  const name = `${original.name}-copy`;
  const known = world.machines.find((machine) => machine.name === name);
  if (known !== undefined || original.name.endsWith('-copy')) return () => undefined;
  const copy = world.addMachine(name, `10.0.1.${1 + below(random, 250)}`, new MachineClock(world.timeline));
  copy.replaceDisk(cloneDisk(original.disk, world.clock));
  copy.boot();
  return () => {
    world.say(name, 'is taken away');
    world.removeMachine(copy);
  };
}

function changeAddress(context: FaultContext): undefined {
  const { world, random } = context;
  const machine = anyMachine(context);
  const ip = `10.0.2.${1 + below(random, 250)}`;
  if (world.machines.some((one) => one.ip === ip)) return;
  machine.ip = ip;
  world.say(machine.name, `has the address ${ip} now`);
}

function crashService(context: FaultContext): undefined {
  const { services, name } = anyMachine(context);
  const [running] = services.processes.filter(({ alive }) => alive);
  if (running === undefined) return;
  context.world.say(name, `its service ${running.name} dies`);
  services.end(running, { code: 1 });
}

function publish(context: FaultContext): undefined {
  const { world, random, operator } = context;
  void operator.publish(world.cloud !== undefined && chance(random, 0.5) ? 'cloud' : anyMachine(context));
}

function publishTwice(context: FaultContext): undefined {
  const { world, operator } = context;
  const leaders = world.machines.filter(({ state }) => state?.leads === true);
  const places = leaders.length > 1 ? leaders : [anyMachine(context), anyMachine(context)];
  for (const place of new Set(places)) void operator.publish(place, 'plan');
}
