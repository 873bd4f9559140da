import { describe, expect, it } from 'vitest';
import { createOverlay } from '../../runtime-node/overlay.ts';
import { BusError, type EventBus } from '../../shared/ports/event-bus.ts';
import { memoryEventBus } from '../support/memory-event-bus.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const clock = new SimulatedClock();
const settled = () => clock.advance(0);

async function listening(bus: EventBus): Promise<EventBus> {
  await bus.ensureExchange({ name: 'overlay', type: 'topic' });
  await bus.ensureQueue({ name: 'all', type: 'classic', arguments: {} });
  await bus.ensureBinding({ exchange: 'overlay', queue: 'all', key: '#', arguments: {} });
  return bus;
}

const ready = async (bus: EventBus) => (await bus.queueStats('all')).ready;

describe('heartbeats on the overlay', () => {
  it('go past the bus that keeps things for later, and events do not', async () => {
    const [bus, direct] = [await listening(memoryEventBus(clock)), await listening(memoryEventBus(clock))];
    const overlay = createOverlay({ bus, direct, log: recordingLog() });
    overlay.emit('overlay.heartbeat', { node_id: 'a' }, 'heartbeat/a/1');
    await settled();
    expect([await ready(bus), await ready(direct)]).toEqual([0, 1]);
    const body = { cursor: '1', type: 'overlay.leave', site: 's', at: '2026-01-01T00:00:00.000Z', data: {}, fleet: 'f' } as const;
    await overlay.publish({ topic: 'overlay.leave', message_id: 'leave/1', body });
    expect([await ready(bus), await ready(direct)]).toEqual([1, 1]);
  });

  it('tell once that the exchange can not be declared, and again once it could be', async () => {
    const bus = await listening(memoryEventBus(clock));
    let refuses = true;
    const publish: EventBus['publish'] = async (message) => {
      if (refuses) throw new BusError('unauthorized', 'no access to exchange overlay');
      return bus.publish(message);
    };
    const ensureExchange: EventBus['ensureExchange'] = async (exchange) => {
      if (refuses) throw new BusError('unauthorized', 'no access to exchange overlay');
      return bus.ensureExchange(exchange);
    };
    const log = recordingLog();
    const { emit } = createOverlay({ bus: { ...bus, publish, ensureExchange }, log });
    const told = () => log.lines.filter(({ message }) => message.includes("can't be declared")).length;
    const beat = async (number: number) => {
      emit('overlay.heartbeat', {}, `heartbeat/${number}`);
      await settled();
    };
    for (let number = 0; number < 5; number += 1) await beat(number);
    expect(told()).toBe(1);
    refuses = false;
    await beat(5);
    expect(await ready(bus)).toBe(1);
    expect(told()).toBe(1);
  });

  it('are dropped while the bus is away, and said to be so once', async () => {
    const bus = await listening(memoryEventBus(clock));
    let away = true;
    const publish: EventBus['publish'] = async (message) => {
      if (away) throw new BusError('backend_away', 'the broker is away');
      return bus.publish(message);
    };
    const log = recordingLog();
    const { emit } = createOverlay({ bus: { ...bus, publish }, log });
    for (let n = 0; n < 10; n += 1) emit('overlay.heartbeat', {}, `heartbeat/${n}`);
    await settled();
    away = false;
    emit('overlay.heartbeat', {}, 'heartbeat/10');
    await settled();
    expect(await ready(bus)).toBe(1);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn']);
  });

  it('are dropped beyond a thousand that a bus has not answered for', async () => {
    let asked = 0;
    const bus = memoryEventBus(clock);
    const publish = () => {
      asked += 1;
      return new Promise<never>(() => undefined);
    };
    const { emit } = createOverlay({ bus: { ...bus, publish }, log: recordingLog() });
    for (let n = 0; n < 1500; n += 1) emit('overlay.heartbeat', {}, `heartbeat/${n}`);
    await settled();
    expect(asked).toBe(1000);
  });
});
