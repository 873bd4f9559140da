import { describe, expect, it } from 'vitest';
import { reconciledBy, sharedBackends } from '../../runtime-node/shared-backends.ts';
import type { DiscoveryState } from '../../shared/discovery/types.ts';
import { memoryBackends } from '../support/memory-environment.ts';

const STATE: DiscoveryState = {
  phase: 'running',
  node_id: 'n2',
  instance_id: 'i',
  fleet: 'default',
  site: 'default',
  role: 'worker',
  epoch: 1,
  leads: false,
  leader_node_id: 'n1',
  leader_backends: { storage: 'http://store:9000', broker: 'amqp://127.0.0.1:5672/ on 192.0.2.1' },
  provisional: false,
  confirmed: false,
  ttl_seconds: 15,
  generations: {},
  waiting_for: [],
};

const by = (state: Partial<DiscoveryState>, ip = '192.0.2.1') =>
  reconciledBy(
    () => ({ state: () => ({ ...STATE, ...state }) }),
    () => ip,
  );

describe('who reconciles a backend', () => {
  it('is the leader where it works on the same one', () => {
    expect(by({})('storage', 'http://store:9000')).toBe('n1');
  });

  it.each([
    ['another one', {}, 'http://own:9000'],
    ['it leads itself', { leads: true }, 'http://store:9000'],
    ['it was the leader, and nobody is followed', { leader_node_id: 'n2' }, 'http://store:9000'],
  ])('is the node itself where that is %s', (_, state, identity) => {
    expect(by(state)('storage', identity)).toBeUndefined();
  });

  it('is the node itself where no leader tells what it works on', () => {
    const { leader_backends, ...state } = STATE;
    expect(
      reconciledBy(
        () => ({ state: () => state }),
        () => '192.0.2.1',
      )('storage', 'http://store:9000'),
    ).toBeUndefined();
  });

  it('of a server on loopback is the leader on the same machine only', () => {
    expect(by({})('broker', 'amqp://127.0.0.1:5672/')).toBe('n1');
    expect(by({}, '192.0.2.2')('broker', 'amqp://127.0.0.1:5672/')).toBeUndefined();
  });
});

describe('what a leader tells', () => {
  it('are the backends that other nodes may share, and on which machine one on loopback is', () => {
    const { storage, bus, vector } = memoryBackends({ storage: { shared: true }, vector: { shared: true } });
    const local = { ...vector, backend: { ...vector.backend, identity: 'http://localhost:8080' }, capabilities: vector.capabilities };
    expect(sharedBackends({ storage, bus, vector: local }, '192.0.2.1')).toEqual({
      storage: storage.backend.identity,
      vector: 'http://localhost:8080 on 192.0.2.1',
    });
  });
});
