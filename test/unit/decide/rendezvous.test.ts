import { describe, expect, test } from 'vitest';
import { gatewayUrl } from '../../../shared/decide/gateway.ts';
import { murmur3, rankByRendezvous } from '../../../shared/decide/rendezvous.ts';
import { roleOf } from '../../../shared/decide/roles.ts';

describe('murmur3', () => {
  test.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['aa', 0x9747b28c, 0x5d211726],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ])('%j with seed %i', (text, seed, expected) => {
    expect(murmur3(text, seed)).toBe(expected);
  });
});

describe('rendezvous', () => {
  test('keys spread evenly over ids', () => {
    const ids = Array.from({ length: 10 }, (_, index) => `node-${index}`);
    const shares = new Map(ids.map((id) => [id, 0]));
    for (let key = 0; key < 10_000; key += 1) {
      const [first = ''] = rankByRendezvous(`service-${key}`, ids);
      shares.set(first, (shares.get(first) ?? 0) + 1);
    }
    // The standard deviation of a share is 30.
    for (const share of shares.values()) expect(Math.abs(share - 1000)).toBeLessThan(150);
  });

  test('is the same on every machine', () => {
    expect(rankByRendezvous('api', ['a', 'b', 'c', 'd'])).toEqual(rankByRendezvous('api', ['d', 'c', 'b', 'a']));
  });
});

describe('role', () => {
  const camera = { node_id: 'n1', capabilities: ['camera'] };
  const proxy = { node_id: 'n2', capabilities: ['camera', 'proxy'] };

  test('the holder of the lease leads, whatever else it can do', () => {
    expect(roleOf(camera, 'n1')).toBe('leader');
    expect(roleOf(proxy, 'n2')).toBe('leader');
  });

  test('else a node is a proxy if it can be one, else a worker', () => {
    expect(roleOf(proxy, 'n1')).toBe('proxy');
    expect(roleOf(camera, undefined)).toBe('worker');
  });
});

describe('gateway', () => {
  const control = 'http://control:7420';
  const proxies = ['p1', 'p2', 'p3'].map((node_id) => ({ node_id, liveness: 'online' as const, url: `http://${node_id}:7420` }));

  test('is one of the online proxies, and nodes spread over them', () => {
    const chosen = new Set(Array.from({ length: 50 }, (_, index) => gatewayUrl(`n${index}`, proxies, control)));
    expect([...chosen].sort()).toEqual(['http://p1:7420', 'http://p2:7420', 'http://p3:7420']);
  });

  test('moves only the nodes of a proxy that is gone', () => {
    const [lost, ...others] = proxies;
    const left = [{ ...lost!, liveness: 'late' as const }, ...others];
    for (let index = 0; index < 50; index += 1) {
      const before = gatewayUrl(`n${index}`, proxies, control);
      if (before !== lost!.url) expect(gatewayUrl(`n${index}`, left, control)).toBe(before);
      else expect(gatewayUrl(`n${index}`, left, control)).not.toBe(before);
    }
  });

  test('is the control plane without a proxy that can be reached, and for the proxies themselves', () => {
    expect(gatewayUrl('n1', [], control)).toBe(control);
    expect(gatewayUrl('n1', [{ node_id: 'p1', liveness: 'online' }], control)).toBe(control);
    expect(gatewayUrl('p1', proxies, control)).toBe(control);
  });
});
