import { describe, expect, it } from 'vitest';
import { PROBLEMS, type ProblemCode } from '../../../shared/contract/problem.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { type Boot, CLOUD, Machine, planOf, profileOf, strangers } from './harness.ts';
import { type Call, fail } from './scripted-supervisor.ts';

const CODES = Object.keys(PROBLEMS) as ProblemCode[];

/** Everything that can go wrong between a node and its Supervisors, at random and all the time. */
class Chaos {
  readonly machine = new Machine();
  readonly #random: ReturnType<typeof seededRandom>;
  boot: Boot | undefined;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random.next() * list.length)] as T;
  }

  async start(): Promise<void> {
    this.boot = await this.machine.boot({ cloud_url: CLOUD });
  }

  async strike(): Promise<void> {
    const { machine } = this;
    const blows: (() => unknown)[] = [
      () => {
        machine.cloud.reachable = !machine.cloud.reachable;
      },
      () => {
        machine.cloud.before = this.#fault();
      },
      () => {
        machine.own.before = this.#fault();
      },
      () => {
        machine.cloud.before = undefined;
        machine.own.before = undefined;
      },
      async () => machine.cloud.publish(await planOf(['evil'], { generation: 9, signer: strangers })),
      async () => machine.cloud.publish(await planOf(['old'], { generation: 2 })),
      async () => machine.cloud.publish(await profileOf(['evil'], { generation: 9, signer: strangers })),
      async () => {
        machine.cloud.names = this.#pick([['api', 'web', 'evil'], undefined]);
      },
      () => {
        delete machine.cloud.documents[this.#pick(['plan', 'profile'] as const)];
      },
      () => machine.cloud.nodes.clear(),
      () => {
        const epoch = (machine.cloud.leader?.epoch ?? 0) + 1;
        machine.cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch, until: machine.clock.monotonic() + 20_000 };
      },
      () => machine.clock.jump(this.#pick([0, Date.UTC(2040, 0, 1), Date.UTC(2026, 5, 1)])),
      () => this.boot?.discovery.poke(),
      async () => {
        this.boot?.crash();
        await this.start();
      },
    ];
    await this.#pick(blows)();
    await machine.elapse(1_000 + Math.floor(this.#random.next() * 15_000));
  }

  /** Some of the calls fail in one way. */
  #fault(): (call: Call) => Response | Promise<Response> | undefined {
    const code = this.#pick(CODES);
    const answers: (() => Response | Promise<Response>)[] = [
      () => fail(code),
      () => new Promise(() => undefined),
      () => new Response(''),
      () => new Response('<html>captive portal</html>', { status: this.#pick([200, 302, 500]), headers: { 'content-type': 'text/html' } }),
      () => new Response('{"role":"king","registered":false}', { headers: { 'content-type': 'application/json' } }),
      () => Promise.reject(new TypeError('fetch failed')),
    ];
    const answer = this.#pick(answers);
    const share = this.#random.next();
    return () => (this.#random.next() < share ? answer() : undefined);
  }

  async heal(): Promise<void> {
    const { machine } = this;
    for (const supervisor of [machine.cloud, machine.own]) {
      supervisor.before = undefined;
      supervisor.reachable = true;
      supervisor.names = undefined;
    }
    machine.cloud.publish(await planOf(['api', 'web'], { generation: 10 }));
    machine.cloud.publish(await profileOf(['captures'], { generation: 10 }));
    await machine.elapse(120_000);
  }
}

const SEEDS = Array.from({ length: 8 }, (_, seed) => seed + 1);

describe('whatever goes wrong between a node and its Supervisors', () => {
  it.each(SEEDS)('nothing that runs is stopped, nothing foreign is started, and all is well afterwards (seed %i)', async (seed) => {
    const chaos = new Chaos(seed);
    const { machine } = chaos;
    machine.cloud.publish(await planOf(['api', 'web'], { generation: 3 }));
    machine.cloud.publish(await profileOf(['captures'], { generation: 3 }));
    await chaos.start();
    await machine.elapse(2_000);
    for (let blow = 0; blow < 40; blow += 1) await chaos.strike();

    const done = new Set(machine.trace);
    expect([...done].toSorted()).toEqual(
      ['adopt', 'apply 3: api, web', 'detach', 'environment 3: captures'].filter((line) => done.has(line)),
    );
    const minutes = machine.clock.monotonic() / 60_000;
    expect((machine.cloud.calls.length + machine.own.calls.length) / minutes).toBeLessThan(250);

    await chaos.heal();
    expect(chaos.boot?.discovery.state()).toMatchObject({
      phase: 'running',
      source: 'self',
      provisional: false,
      waiting_for: [],
      generations: { plan: 10, profile: 10 },
    });
    expect(machine.trace.filter((line) => line.startsWith('apply 10'))).toEqual(['apply 10: api, web']);
    chaos.boot?.crash();
  });
});
