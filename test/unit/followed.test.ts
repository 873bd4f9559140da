import { describe, expect, it } from 'vitest';
import { deciderOf, isSameDecider } from '../../runtime-node/followed.ts';

const CLOUD = 'https://cloud.example';
const PEER = 'http://192.0.2.7:7420';
const state = { leads: false, confirmed: false, epoch: 7, leader_node_id: 'b' };

describe('who decides, as a node knows it', () => {
  it('is the node itself while it holds the lease, and nobody when its lease has run out', () => {
    expect(deciderOf({ ...state, source: 'self', leads: true })).toEqual({ kind: 'own' });
    expect(deciderOf({ ...state, source: 'self' })).toEqual({ kind: 'nobody' });
  });

  it.each(['mdns', 'peer'] as const)('is the leader that was proved over %s, in its epoch', (source) => {
    expect(deciderOf({ ...state, source, followed_url: PEER })).toEqual({ kind: 'leader', url: PEER, epoch: 7, node_id: 'b' });
  });

  it('is the cloud that is followed', () => {
    expect(deciderOf({ ...state, source: 'cloud', followed_url: CLOUD })).toEqual({ kind: 'cloud', url: CLOUD });
  });

  it.each([undefined, 'cache'] as const)('is nobody while none is proved (source %s)', (source) => {
    expect(deciderOf({ ...state, ...(source === undefined ? {} : { source }) })).toEqual({ kind: 'nobody' });
  });

  it('is another one when the same leader leads in another epoch', () => {
    const leader = { kind: 'leader', url: PEER, epoch: 7, node_id: 'b' } as const;
    expect(isSameDecider(leader, { ...leader })).toBe(true);
    expect(isSameDecider(leader, { ...leader, epoch: 8 })).toBe(false);
    expect(isSameDecider(leader, { kind: 'own' })).toBe(false);
  });
});
