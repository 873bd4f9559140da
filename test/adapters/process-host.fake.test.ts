import { describe } from 'vitest';
import { processHostSuite } from '../conformance/process-host.suite.ts';
import { FakeMachine, fakeProcessHost } from '../support/fake-process-host.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const commands = {
  stay: ['stay'],
  exit3: ['exit', '3', '10'],
  ignore_sigterm: ['ignore-sigterm'],
  with_child: ['with-child'],
  missing: ['missing'],
};

describe('the fake process host', () => {
  processHostSuite(async (use) => {
    const clock = new SimulatedClock();
    const machine = new FakeMachine(clock);
    await use({
      open: () => fakeProcessHost(machine),
      until: async (look) => {
        for (let round = 0; round < 10 && !(await look()); round += 1) await clock.advance(10);
        if (!(await look())) throw new Error('it did not happen');
      },
      ready: async () => undefined,
      kill: (ref) => {
        const process = machine.find(ref);
        if (process !== undefined) machine.end(process, { signal: 'SIGKILL' });
      },
      commands,
    });
  });
});
