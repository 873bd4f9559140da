import { createLocalBus } from '../../../../runtime-node/adapters/bus-local.ts';
import { BusError, type EmbeddedBus, type EventBus, type OutgoingMessage } from '../../../../shared/ports/event-bus.ts';
import { createForwardBus } from '../../../../shared/reconcile/fall-forward/bus.ts';
import type { FallForward, ForwardEvent } from '../../../../shared/reconcile/fall-forward/types.ts';
import { createMemoryBacklog } from '../../../support/memory-backlog.ts';
import { BUS_METHODS, type MemoryEventBus, memoryEventBus } from '../../../support/memory-event-bus.ts';
import { type Call, spyOn } from '../../../support/memory-spy.ts';
import { recordingLog } from '../../../support/recording-log.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { SimulatedClock } from '../../../support/simulated-clock.ts';

/** The external's line: while it is cut all calls reject, until it is mended. */
export interface Line {
  isCut: boolean;
  /** Cuts the line at a call: before it has its effect, or after. */
  cutAt?: (call: Call) => undefined | 'before' | 'after';
}

export interface ForwardHarness {
  readonly forward: FallForward<EventBus>;
  readonly bus: EventBus;
  /** The broker itself, whatever the line does. */
  readonly broker: MemoryEventBus;
  readonly fallback: EmbeddedBus;
  readonly clock: SimulatedClock;
  readonly line: Line;
  /** What the broker says to a message in place of taking it. */
  refuse?: (message: OutgoingMessage) => BusError | undefined;
  readonly calls: Call[];
  readonly events: ForwardEvent[];
  /** What the broker got, in its order. */
  readonly arrivals: OutgoingMessage[];
  /** Lets time pass until it is so. */
  until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void>;
  /** All waits no longer and publishes go to the broker. */
  present(): Promise<void>;
  /** Ends the node as a power cut does, but for what is on its disk, and starts it again. */
  restart(): Promise<void>;
  dispose(): Promise<void>;
}

export const away = () => new BusError('backend_away', 'the line is cut');

export async function forwardHarness({
  isCut = false,
  path = ':memory:',
  broker: capabilities = {},
  max_held = 1000,
}: {
  isCut?: boolean;
  path?: string;
  max_held?: number;
  broker?: Parameters<typeof memoryEventBus>[1];
} = {}): Promise<ForwardHarness> {
  const clock = new SimulatedClock();
  const line: Line = { isCut };
  const broker = memoryEventBus(clock, { deduplicates: false, ...capabilities });
  const arrivals: OutgoingMessage[] = [];
  const recorded: EventBus = {
    ...broker,
    publish(message) {
      arrivals.push(message);
      return broker.publish(message);
    },
  };
  const { port, calls } = spyOn(recorded, BUS_METHODS, (call) => {
    const how = line.isCut ? undefined : line.cutAt?.(call);
    if (how !== undefined) line.isCut = true;
    return line.isCut && how !== 'after' ? away() : undefined;
  });
  const publish = lossy(port.publish);
  const external: EventBus = {
    ...port,
    async publish(message) {
      const refusal = line.isCut ? undefined : harness.refuse?.(message);
      if (refusal !== undefined) throw refusal;
      return await publish(message);
    },
  };
  const backlog = createMemoryBacklog();
  const events: ForwardEvent[] = [];
  let seed = 0;
  const openFallback = () => {
    seed += 1;
    return createLocalBus({ path, clock, random: seededRandom(seed), log: recordingLog() });
  };
  const start = (fallback: EmbeddedBus) => {
    const parts = { external, fallback, backlog, clock, random: seededRandom(7), log: recordingLog() };
    const forward = createForwardBus({ ...parts, max_held, tell: (event) => events.push(event) });
    const stopping = new AbortController();
    return { forward, fallback, stopping, running: forward.run(stopping.signal) };
  };
  let node = start(openFallback());

  /** The effect of a call at which the line was cut afterwards is there, and its answer is not. */
  function lossy<Args extends unknown[], Answer>(method: (...args: Args) => Promise<Answer>) {
    return async (...args: Args): Promise<Answer> => {
      const wasCut = line.isCut;
      const answer = await method(...args);
      if (!wasCut && line.isCut) throw away();
      return answer;
    };
  }
  const until = async (what: string, isSo: () => boolean | Promise<boolean>) => {
    for (let round = 0; round < 400; round += 1) {
      if (await isSo()) return;
      await clock.advance(200);
    }
    throw new Error(`${what} did not come`);
  };
  const harness: ForwardHarness = {
    get forward() {
      return node.forward;
    },
    get bus() {
      return node.forward.port;
    },
    get fallback() {
      return node.fallback;
    },
    broker,
    clock,
    line,
    calls,
    events,
    arrivals,
    until,
    present: () => until('present', () => node.forward.status().presence === 'present'),
    async restart() {
      // Nothing waits for what is under way: its next step finds the disk gone.
      node.stopping.abort();
      await node.fallback.close();
      node = start(openFallback());
    },
    async dispose() {
      node.stopping.abort();
      await node.forward.port.close();
      await node.running;
    },
  };
  return harness;
}
