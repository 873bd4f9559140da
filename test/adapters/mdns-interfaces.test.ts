import type { NetworkInterfaceInfo } from 'node:os';
import { expect, test } from 'vitest';
import { listInterfaces } from '../../runtime-node/adapters/mdns/interfaces.ts';

function info(cidr: string, internal = false, mac = '02:00:00:00:00:01'): NetworkInterfaceInfo {
  const [address = ''] = cidr.split('/');
  const common = { address, cidr, internal, mac, netmask: '' };
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' };
}

const MACHINE = {
  lo: [info('127.0.0.1/8', true), info('::1/128', true)],
  test0: [info('192.0.2.7/24'), info('fe80::1/64')],
  test1: [info('198.51.100.7/25')],
  test2: [info('2001:db8::7/64'), info('fe80::2/64')],
};
const names = (wanted: readonly string[]) => listInterfaces(wanted, MACHINE).map(({ name, bound }) => [name, bound]);

test('all but loopback are used when none is named, by IPv6 only where there is nothing else', () => {
  expect(names([])).toEqual([
    ['test0', '192.0.2.7'],
    ['test1', '198.51.100.7'],
    ['test2', '::%test2'],
  ]);
});

test('those named are used, by name or by address, loopback too', () => {
  expect(names(['test1'])).toEqual([['test1', '198.51.100.7']]);
  expect(names(['192.0.2.7', 'lo'])).toEqual([
    ['lo', '127.0.0.1'],
    ['test0', '192.0.2.7'],
  ]);
  expect(names(['eth9'])).toEqual([]);
});

test('a sender is on the link when it is in a subnet of the interface, and came by it', () => {
  const [test0, test1, test2] = listInterfaces([], MACHINE);
  expect(test0?.isOnLink('192.0.2.200')).toBe(true);
  expect(test0?.isOnLink('192.0.3.1')).toBe(false);
  expect(test0?.isOnLink('fe80::99%test0')).toBe(true);
  expect(test0?.isOnLink('fe80::99%test2')).toBe(false);
  expect(test1?.isOnLink('198.51.100.127')).toBe(true);
  expect(test1?.isOnLink('198.51.100.128')).toBe(false);
  expect(test2?.isOnLink('2001:db8::8')).toBe(true);
  expect(test2?.isOnLink('nonsense')).toBe(false);
});

test('a device that was made anew is another one, with the same name and address too', () => {
  const key = (mac: string) => listInterfaces([], { test0: [info('192.0.2.7/24', false, mac)] })[0]?.key;
  expect(key('02:00:00:00:00:01')).toBe(key('02:00:00:00:00:01'));
  expect(key('02:00:00:00:00:01')).not.toBe(key('02:00:00:00:00:02'));
});
