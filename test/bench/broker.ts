import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { createRabbitBus } from '../../runtime-node/adapters/bus-rabbitmq/index.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { createAttempts, createEnvironmentReconciler } from '../../shared/reconcile/index.ts';
import { desiredProfile, memoryBackends } from '../support/memory-environment.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock as clock } from '../support/system-clock.ts';
import { median, type Row, ratio } from './report.ts';

const ITEMS = 1000;
const ROUNDS = 3;
const MESSAGES = 20_000;
const BATCH = 256;
const BODY = Buffer.alloc(256, 'x');

const NAMES = Array.from({ length: ITEMS }, (_, index) => `queue-${index}`);
const PROFILE = {
  broker: {
    exchanges: [{ name: 'events', type: 'topic' as const }],
    queues: NAMES.map((name) => ({ name })),
    bindings: NAMES.map((name) => ({ exchange: 'events', queue: name, key: name })),
  },
};

/** RabbitMQ through the reconciler and the adapter, against the broker's own tool and the bare client, on one private broker. */
export async function benchBroker(): Promise<Row[]> {
  const why = whyNoRabbitMq();
  if (why !== undefined) return [{ what: 'RabbitMQ', figure: 'not run', goal: why }];
  const server = await startRabbitMq();
  try {
    return [...(await benchTopology(server)), ...(await benchPublish(server))];
  } finally {
    await server.stop();
  }
}

async function benchTopology(server: RabbitMq): Promise<Row[]> {
  const fresh: number[] = [];
  const again: number[] = [];
  const imported: number[] = [];
  const importedAgain: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const ours = await reconcile(server, await makeVhost(server, `ours-${round}`));
    fresh.push(ours.fresh);
    again.push(ours.again);
    const theirs = await importDefinitions(server, await makeVhost(server, `theirs-${round}`));
    imported.push(theirs.fresh);
    importedAgain.push(theirs.again);
    for (const name of [`ours-${round}`, `theirs-${round}`]) await manage(server, 'DELETE', `vhosts/${name}`);
  }
  const row = (what: string, mine: readonly number[], other: readonly number[], goal: string): Row => ({
    what: `${ITEMS} queues + ${ITEMS} bindings on RabbitMQ: ${what}`,
    figure: `${Math.round(median(mine))} ms, rabbitmqctl import_definitions ${Math.round(median(other))} ms`,
    ratio: ratio(mine, other),
    goal,
  });
  return [row('fresh', fresh, imported, 'at most 0.6'), row('nothing to change', again, importedAgain, 'one read')];
}

async function reconcile(server: RabbitMq, vhost: string): Promise<{ fresh: number; again: number }> {
  const bus = open(server, vhost);
  const [log, { storage, vector }] = [recordingLog(), memoryBackends()];
  const attempts = createAttempts({ files: memoryStateFiles(), clock, log });
  const deps = { node_id: 'bench', storage, bus, vector, clock, log, attempts, report: () => undefined };
  const reconciler = createEnvironmentReconciler(deps);
  const desired = await desiredProfile(PROFILE);
  const fresh = await timed(() => reconciler.apply(desired));
  const again = await timed(() => reconciler.apply(desired));
  const status = reconciler.status().broker;
  await bus.close();
  if (status?.status !== 'unchanged') throw new Error(`the broker was not unchanged: ${JSON.stringify(status)}`);
  return { fresh, again };
}

async function importDefinitions(server: RabbitMq, vhost: string): Promise<{ fresh: number; again: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'bootplane-broker-'));
  const { exchanges, queues, bindings } = PROFILE.broker;
  const kept = { vhost, durable: true, auto_delete: false, arguments: {} };
  const definitions = {
    exchanges: exchanges.map((exchange) => ({ ...kept, ...exchange, internal: false })),
    queues: queues.map((queue) => ({ ...kept, ...queue, type: 'classic' })),
    bindings: bindings.map(({ exchange, queue, key }) => ({
      source: exchange,
      vhost,
      destination: queue,
      destination_type: 'queue',
      routing_key: key,
      arguments: {},
    })),
  };
  const file = join(folder, 'definitions.json');
  writeFileSync(file, JSON.stringify(definitions));
  const run = () => server.ctl('import_definitions', file);
  const times = { fresh: await timed(run), again: await timed(run) };
  rmSync(folder, { recursive: true });
  return times;
}

async function benchPublish(server: RabbitMq): Promise<Row[]> {
  const vhost = await makeVhost(server, 'publish');
  const bus = open(server, vhost);
  await bus.ensureConfirms();
  const mine: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [one, two] = [`mine-${round}`, `bare-${round}`];
    for (const name of [one, two]) await bus.ensureQueue({ name, type: 'classic', arguments: {} });
    mine.push(MESSAGES / (await timed(() => publishThrough(bus, one))));
    bare.push(MESSAGES / (await publishBare(server, vhost, two)));
    for (const name of [one, two]) {
      const { ready } = await bus.queueStats(name);
      if (ready !== MESSAGES) throw new Error(`${name} holds ${ready} messages`);
      await manage(server, 'DELETE', `queues/${vhost}/${name}/contents`);
    }
  }
  await bus.close();
  const figures = [mine, bare].map((values) => `${median(values).toFixed(1)} k/s`);
  return [
    {
      what: `publish with confirms on RabbitMQ, ${BODY.byteLength} bytes, batches of ${BATCH}`,
      figure: `${figures[0]}, bare amqplib ${figures[1]}`,
      ratio: ratio(mine, bare),
    },
  ];
}

async function publishThrough(bus: EventBus, queue: string): Promise<void> {
  for (let sent = 0; sent < MESSAGES; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, MESSAGES - sent) }, (_, index) =>
      bus.publish({ exchange: '', key: queue, message_id: `${sent + index}`, body: BODY }),
    );
    await Promise.all(batch);
  }
}

async function publishBare(server: RabbitMq, vhost: string, queue: string): Promise<number> {
  const connection = await connect(server.url({ vhost }), { noDelay: true });
  const channel = await connection.createConfirmChannel();
  const took = await timed(async () => {
    for (let sent = 0; sent < MESSAGES; sent += BATCH) {
      const count = Math.min(BATCH, MESSAGES - sent);
      for (let index = 0; index < count; index += 1) {
        channel.publish('', queue, BODY, { persistent: true, mandatory: true, messageId: `${sent + index}` });
      }
      await channel.waitForConfirms();
    }
  });
  await connection.close();
  return took;
}

function open(server: RabbitMq, vhost: string): EventBus {
  const { management_url } = server;
  return createRabbitBus({ url: server.url({ vhost }), management_url, clock, random: seededRandom(), log: recordingLog() });
}

async function makeVhost(server: RabbitMq, name: string): Promise<string> {
  await manage(server, 'PUT', `vhosts/${name}`);
  await manage(server, 'PUT', `permissions/${name}/guest`, { configure: '.*', write: '.*', read: '.*' });
  return name;
}

/** Faster than a start of the broker's tool for each step. */
async function manage(server: RabbitMq, method: string, path: string, body: unknown = {}): Promise<void> {
  const headers = { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' };
  const answer = await fetch(`${server.management_url}/api/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
}

/** Milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
