import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import Sqlite from 'better-sqlite3';
import { expect, it } from 'vitest';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import { type LogLine, recordingLog } from '../support/recording-log.ts';
import { clock, countRows, idsIn, open, path, queue, send } from './event-bus.local.support.ts';

const MESSAGES = 2500;

async function fill(bus: EventBus, name: string, messages: number): Promise<void> {
  await bus.ensureQueue(queue(name));
  await Promise.all(Array.from({ length: messages }, (_, n) => send(bus, name, `${name}-${n}`)));
}

async function removeAndDie(turns: number): Promise<void> {
  const script = resolve(import.meta.dirname, 'event-bus.local.remover.ts');
  const child = spawn(process.execPath, [script, path, String(turns)], { stdio: ['ignore', 'ignore', 'inherit'] });
  expect((await once(child, 'exit'))[1]).toBe('SIGKILL');
}

it('a removal that kill -9 cuts off is whole or not begun, and is finished by the next start', async () => {
  const left: number[] = [];
  for (const turns of [0, 2, 3, 4, 5, 12]) {
    const before = open();
    await fill(before, 'doomed', MESSAGES);
    await fill(before, 'other', 2);
    await idsIn(before, 'other');
    await before.close();
    await removeAndDie(turns);
    left.push(Number(countRows('entries')) - 2);

    const bus = open();
    const found = (await bus.readTopology({ exchanges: [], queues: ['doomed'], bindings: [] })).queues.length;
    if (found > 0) expect(await bus.queueStats('doomed')).toEqual({ ready: MESSAGES, unacked: 0 });
    await bus.removeQueue('doomed');
    expect(await idsIn(bus, 'other')).toEqual(['other-0', 'other-1']);
    await bus.close();
    expect([countRows('entries'), countRows('messages'), countRows('queues')]).toEqual([2, 2, 1]);
    // The next round publishes the same ids again.
    const database = new Sqlite(path);
    database.exec('delete from published; delete from entries; delete from messages');
    database.close();
  }
  expect(left.some((rows) => rows > 0 && rows < MESSAGES)).toBe(true);
});

it('starts without waiting for what a crash has left, and discards it by itself', async () => {
  const before = open();
  await fill(before, 'doomed', 30);
  await before.close();
  const database = new Sqlite(path);
  // As a crash leaves it after the first commit.
  database.exec("update queues set name = char(1) || id where name = 'doomed'");
  database.close();
  const bus = open();
  await expect(bus.queueStats('doomed')).rejects.toMatchObject({ kind: 'no_such_queue' });
  await bus.ensureQueue(queue('doomed'));
  await send(bus, 'doomed', 'new');
  expect(await idsIn(bus, 'doomed')).toEqual(['new']);
  await bus.removeQueue('doomed');
  await bus.close();
  expect([countRows('entries'), countRows('messages'), countRows('queues')]).toEqual([0, 0, 0]);
});

it('tells nobody of a queue that was removed and whose messages are still there', async () => {
  const before = open();
  await fill(before, 'doomed', MESSAGES);
  await fill(before, 'other', 1);
  await before.close();
  const database = new Sqlite(path);
  database.exec("update queues set name = char(1) || id where name = 'doomed'");
  database.close();
  const bus = open();
  const [declared, holdings] = await Promise.all([bus.declared(), bus.holdings()]);
  expect(declared.queues.map(({ name }) => name)).toEqual(['other']);
  expect(holdings).toEqual([{ queue: 'other', ready: 1, unacked: 0 }]);
});

it('sends what had expired to its dead letters first, and nothing of what is removed', async () => {
  const bus = open();
  await bus.ensureExchange({ name: 'dead', type: 'fanout' });
  await bus.ensureQueue(queue('letters'));
  await bus.ensureBinding({ exchange: 'dead', queue: 'letters', key: '', arguments: {} });
  await bus.ensureQueue(queue('doomed', { ttl_ms: 1000, dlx: 'dead' }));
  await send(bus, 'doomed', 'expired');
  await clock.advance(1500);
  await send(bus, 'doomed', 'removed');
  await bus.removeQueue('doomed');
  await clock.advance(60_000);
  expect(await idsIn(bus, 'letters')).toEqual(['expired']);
});

it('a message that others hold too stays with them', async () => {
  const bus = open();
  await bus.ensureExchange({ name: 'all', type: 'fanout' });
  for (const name of ['doomed', 'other']) {
    await bus.ensureQueue(queue(name));
    await bus.ensureBinding({ exchange: 'all', queue: name, key: '', arguments: {} });
  }
  await bus.publish({ exchange: 'all', key: '', message_id: 'shared', body: new Uint8Array(3) });
  await bus.removeQueue('doomed');
  expect(await idsIn(bus, 'other')).toEqual(['shared']);
});

it('a delivery whose queue is gone disturbs no other queue when its time is over', async () => {
  const bus = open();
  await fill(bus, 'doomed', 2);
  await bus.ensureQueue(queue('other'));
  await bus.receive('doomed', { visibility_ms: 1000 });
  await bus.removeQueue('doomed');
  await bus.ensureQueue(queue('doomed'));
  await clock.advance(5000);
  await send(bus, 'other', 'one');
  expect(await idsIn(bus, 'other')).toEqual(['one']);
  expect(await bus.queueStats('doomed')).toEqual({ ready: 0, unacked: 0 });
});

it('a consumer says once that its queue is gone', async () => {
  const lines: LogLine[] = [];
  const bus = open({ log: recordingLog(lines) });
  await bus.ensureQueue(queue('doomed'));
  const consumer = await bus.consume('doomed', async () => {});
  await bus.removeQueue('doomed');
  const complaints = () => lines.filter(({ message }) => message === 'A consumer could not take messages');
  for (let second = 0; second < 10; second += 1) await clock.advance(1000);
  expect(complaints()).toHaveLength(1);
  await consumer.stop();
});
