import { parseArgs } from 'node:util';
import { installSyncCrypto } from './sync-crypto.ts';

installSyncCrypto();
const { World } = await import('./world.ts');

/** The first form of it: boots the nodes and prints what happens. */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '60' },
    ttl: { type: 'string', default: '15' },
    cloud: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    wire: { type: 'boolean', default: false },
    kill: { type: 'string' },
  },
});
const keep = ['step' as const, ...(values.log ? ['log' as const] : []), ...(values.wire ? ['wire' as const] : [])];
const world = await World.create({
  seed: Number(values.seed),
  nodes: Number(values.nodes),
  cloud: values.cloud,
  ttl_seconds: Number(values.ttl),
  keep,
});
for (const machine of world.machines) machine.boot();
const half = (Number(values.seconds) * 1000) / 2;
await world.run(half);
if (values.kill !== undefined) {
  const leader = world.machines.find(({ state }) => state?.leads);
  world.say(leader?.name ?? '', `is ended: ${values.kill}`);
  if (values.kill === 'crash') leader?.crash();
  if (values.kill === 'power') leader?.powerOff();
  if (values.kill === 'stop') void leader?.stop();
}
await world.run(half);
process.stdout.write(`${world.trace.render()}\n${world.trace.digest}\n`);
process.exit(0);
