import { describe, expect, it } from 'vitest';
import { warnOfLanSettings } from '../../runtime-node/lan-settings.ts';
import { recordingLog } from '../support/recording-log.ts';

const FOUND = { lo: [{ address: '127.0.0.1' }], eth0: [{ address: '10.0.0.5' }, { address: 'fe80::1' }] };

function said(config: Partial<Parameters<typeof warnOfLanSettings>[0]>): string[] {
  const log = recordingLog();
  warnOfLanSettings({ mdns: true, interfaces: [], peers: [], ...config }, log, FOUND);
  return log.lines.map(({ message }) => message);
}

describe('settings of the LAN that have no effect now', () => {
  it.each([[[]], [['eth0']], [['10.0.0.5']], [['fe80::1', 'lo']]])('nothing is said of %j', (interfaces) => {
    expect(said({ interfaces })).toEqual([]);
  });

  it('an interface that is not there is a warning, with what was meant or what is there', () => {
    expect(said({ interfaces: ['eth00', 'eth0'] })).toEqual([expect.stringMatching(/eth00.*did you mean eth0\?.*as soon as it comes/)]);
    expect(said({ interfaces: ['wireless'] })).toEqual([expect.stringContaining('this machine has lo, eth0')]);
  });

  it('interfaces without multicast DNS, and a peer that is the node itself', () => {
    expect(said({ mdns: false, interfaces: ['wlan9'] })).toEqual([expect.stringContaining('no effect')]);
    const self = 'http://10.0.0.5:7420';
    expect(said({ peers: [self, 'http://10.0.0.6:7420'], advertise_url: self })).toEqual([expect.stringContaining('this node itself')]);
  });
});
