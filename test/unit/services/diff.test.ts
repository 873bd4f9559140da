import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ActualServices, diffServices, type ServiceAction, viewActions } from '../../../shared/reconcile/services/diff.ts';
import { service } from './harness.ts';

const want = (name: string, spec_hash = 'h1') => ({ service: service(name), spec_hash });
const supervised = (name: string, spec_hash = 'h1') => ({ name, version: '1', spec_hash });
const stray = (pid: number, name: string, spec_hash = 'h1', orphaned = false) => ({
  ref: { pid, started: String(pid) },
  name,
  version: '1',
  spec_hash,
  orphaned,
});
const line = (action: ServiceAction) =>
  action.kind === 'clear'
    ? `clear ${action.process.ref.pid} ${action.reason}`
    : `${action.kind} ${action.kind === 'stop' ? action.name : action.wanted.service.name}`;
const diff = (wanted: ReturnType<typeof want>[], actual: Partial<ActualServices>) =>
  diffServices(wanted, { supervised: [], strays: [], ...actual }).map(line);

describe('diffServices', () => {
  test('starts what is missing in plan order', () => {
    expect(diff([want('b'), want('a')], {})).toEqual(['start b', 'start a']);
  });

  test('restarts only the service whose spec changed, in its place of the plan', () => {
    expect(diff([want('a'), want('b', 'h2'), want('c')], { supervised: ['a', 'b', 'c'].map((name) => supervised(name)) })).toEqual([
      'keep a',
      'restart b',
      'keep c',
    ]);
  });

  test('ends first, in reverse order of start', () => {
    expect(diff([want('c')], { supervised: [supervised('a'), supervised('b')] })).toEqual(['stop b', 'stop a', 'start c']);
  });

  test('adopts what an earlier run left when it is still the wanted one', () => {
    expect(diff([want('a'), want('b', 'h2')], { strays: [stray(1, 'a'), stray(2, 'b')] })).toEqual([
      'clear 2 changed',
      'adopt a',
      'start b',
    ]);
  });

  test('of two copies the older is adopted', () => {
    expect(diff([want('a')], { strays: [stray(1, 'a'), stray(2, 'a'), stray(3, 'a')] })).toEqual([
      'clear 3 duplicate',
      'clear 2 duplicate',
      'adopt a',
    ]);
  });

  test('an older copy of another version does not hide the wanted one', () => {
    expect(diff([want('a', 'h2')], { strays: [stray(1, 'a'), stray(2, 'a', 'h2')] })).toEqual(['clear 1 changed', 'adopt a']);
  });

  test('never adopts orphans', () => {
    expect(diff([want('a')], { strays: [stray(1, 'a', 'h1', true)] })).toEqual(['clear 1 orphaned', 'start a']);
  });

  test('clears a stray beside a supervised service', () => {
    expect(diff([want('a')], { supervised: [supervised('a')], strays: [stray(9, 'a')] })).toEqual(['clear 9 duplicate', 'keep a']);
  });

  test('shows everything but keep, with what stops and why', () => {
    const actions = diffServices([want('a', 'h2'), want('b')], {
      supervised: [supervised('a'), supervised('b'), supervised('gone')],
      strays: [stray(5, 'old')],
    });
    expect(viewActions(actions)).toEqual([
      {
        kind: 'stop-process',
        safety: 'update',
        subject: 'process 5 of service old',
        before: '1',
        detail: 'the plan has no such service here',
      },
      { kind: 'stop-service', safety: 'update', subject: 'service gone', before: '1' },
      { kind: 'restart-service', safety: 'update', subject: 'service a', before: '1', after: '1' },
    ]);
  });

  test('carried out, it leaves exactly one copy of each wanted service, and a second diff only keeps', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const hash = fc.constantFrom('h1', 'h2');
    const wanted = fc.uniqueArray(fc.tuple(name, hash), { selector: ([one]) => one });
    const strays = fc.array(fc.tuple(name, hash, fc.boolean()), { maxLength: 8 });
    fc.assert(
      fc.property(wanted, wanted, strays, (desired, running, left) => {
        const wants = desired.map(([one, spec]) => want(one, spec));
        const actions = diffServices(wants, {
          supervised: running.map(([one, spec]) => supervised(one, spec)),
          strays: left.map(([one, spec, orphaned], index) => stray(index + 1, one, spec, orphaned)),
        });
        const after = carryOut(actions, running, left.length);
        expect(after.strays).toBe(0);
        expect([...after.running].sort()).toEqual(desired.map(([one, spec]) => `${one} ${spec}`).sort());
        const again = diffServices(wants, { supervised: [...desired].map(([one, spec]) => supervised(one, spec)), strays: [] });
        expect(again.every(({ kind }) => kind === 'keep')).toBe(true);
      }),
    );
  });
});

/** What runs after the actions, by the meaning of each. */
function carryOut(actions: readonly ServiceAction[], before: readonly (readonly [string, string])[], stray_count: number) {
  const running = new Map(before);
  let strays = stray_count;
  for (const action of actions) {
    if (action.kind === 'stop') running.delete(action.name);
    else if (action.kind === 'clear') strays -= 1;
    else if (action.kind !== 'keep') {
      expect(action.kind === 'restart').toBe(running.has(action.wanted.service.name));
      if (action.kind === 'adopt') strays -= 1;
      running.set(action.wanted.service.name, action.wanted.spec_hash);
    }
  }
  return { running: [...running].map(([name, spec]) => `${name} ${spec}`), strays };
}
