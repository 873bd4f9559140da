import { describe, expect, it } from 'vitest';
import { documentSchemas } from '../../../shared/contract/document.ts';
import { type PlannedService, PlannedService as Schema } from '../../../shared/contract/plan.ts';
import { selectDraft } from '../../../shared/discovery/draft-services.ts';
import { Machine, planOf, recordingEnvironment } from './harness.ts';

const service = (name: string, placement: object = {}): PlannedService => Schema.parse({ name, version: '1', command: ['x'], placement });
const here = (has: PlannedService[] = []) => ({ node_id: 'a', site: 's', role: 'worker' as const, capabilities: ['gpu'], has });
const namesOf = (plan: PlannedService[], has?: PlannedService[], placed?: Record<string, string[]>) => {
  const { services, undecided } = selectDraft({ services: plan }, here(has), placed);
  return { services: services.map(({ name }) => name), undecided };
};

describe('what of a draft would run on a node', () => {
  it('is what its placement allows, where it is told the places of those with a count', () => {
    const plan = [
      service('all'),
      service('gpu', { capabilities: ['gpu'] }),
      service('tpu', { capabilities: ['tpu'] }),
      service('one', { count: 1 }),
    ];
    expect(namesOf(plan, [], { one: ['a'] })).toEqual({ services: ['all', 'gpu', 'one'], undecided: [] });
    expect(namesOf(plan, [], { one: ['b'] })).toEqual({ services: ['all', 'gpu'], undecided: [] });
  });

  it('is not decided for one with a count, unless this node has it and no fewer are asked for', () => {
    const plan = [
      service('new', { count: 1 }),
      service('same', { count: 2 }),
      service('fewer', { count: 1 }),
      service('elsewhere', { count: 1, nodes: ['b'] }),
    ];
    const has = [service('same', { count: 2 }), service('fewer', { count: 2 }), service('elsewhere', { count: 1 })];
    expect(namesOf(plan, has)).toEqual({ services: ['same', 'fewer'], undecided: ['new', 'fewer'] });
  });

  it('is nothing of one whose count is 0, and not decided for one that ran everywhere before', () => {
    expect(namesOf([service('gone', { count: 0 })], [service('gone', { count: 2 })])).toEqual({ services: [], undecided: [] });
    expect(namesOf([service('api', { count: 1 })], [service('api')])).toEqual({ services: ['api'], undecided: ['api'] });
  });
});

describe('a node that is asked about drafts', () => {
  const profile = (bucket: string) => documentSchemas.profile.parse({ storage: { buckets: [{ name: bucket }] } });

  it('compares those, each with what it is about, and goes on as before', async () => {
    const machine = new Machine();
    const asked: unknown[] = [];
    const environment = {
      ...recordingEnvironment(machine.trace),
      diff: async ({ body }: { body: { storage: { buckets: { name: string }[] } } }) => {
        asked.push(body.storage.buckets.map(({ name }) => name));
        return [];
      },
    };
    machine.own.publish(await planOf(['api']));
    const { discovery, services, crash, ended } = await machine.boot({}, { environment });
    services.diff = async ({ body }) => {
      asked.push(body.map(({ name }) => name));
      return { component: 'services', backend: 'test', actions: [] };
    };
    await machine.elapse(10_000);
    expect(await discovery.diff({ profile: profile('captures') })).toEqual([]);
    expect(await discovery.diff({ plan: { services: [service('web'), service('one', { count: 1 })] } })).toEqual([
      { component: 'services', backend: 'test', actions: [], undecided: ['one'] },
    ]);
    expect(asked).toEqual([['captures'], ['web']]);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
    crash();
    await ended;
  });
});
