import { describe, expect, it } from 'vitest';
import { beforeAtBoot, beforeInSuccession, bootWaitMs, cloudWaitMs, takeoverWaitMs } from '../../../shared/decide/election.ts';
import { isFollowable } from '../../../shared/decide/leadership.ts';
import { openPeers } from '../../../shared/discovery/peers.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const elector = (node_id: string, eligible = true) => ({ node_id, eligible });

describe('the wait before an election', () => {
  it('goes by those with a smaller node_id that may lead', () => {
    const others = [elector('a'), elector('b', false), elector('d')];
    expect(beforeAtBoot('c', others)).toEqual([elector('a')]);
    expect(bootWaitMs(0, 0.9)).toBe(0);
    expect([bootWaitMs(1, 0), bootWaitMs(3, 0)]).toEqual([150, 450]);
    expect(bootWaitMs(500, 0)).toBe(bootWaitMs(20, 0));
  });

  it('before the cloud is asked leaves the one before time to do so, and tells sites apart by chance', () => {
    expect([cloudWaitMs(0, 0), cloudWaitMs(0, 0.5), cloudWaitMs(2, 0)]).toEqual([0, 250, 1000]);
    expect(cloudWaitMs(500, 0)).toBe(cloudWaitMs(6, 0));
  });

  it('goes by the succession in a takeover, without the one that is gone', () => {
    const successors = ['x', 'gone', 'y', 'z'].map((node_id) => ({ node_id }));
    expect(beforeInSuccession('x', 'gone', successors)).toEqual([]);
    expect(beforeInSuccession('z', 'gone', successors)).toEqual([{ node_id: 'x' }, { node_id: 'y' }]);
    expect(beforeInSuccession('stranger', 'gone', successors)).toHaveLength(3);
    expect([takeoverWaitMs(0, true, 0.9), takeoverWaitMs(2, true, 0.9)]).toEqual([0, 200]);
    expect(takeoverWaitMs(3, false, 0.5)).toBeGreaterThan(takeoverWaitMs(3, true, 0.5));
  });
});

describe('a proved leader', () => {
  const leader = (epoch: number, node_id = 'a') => ({ epoch, node_id });
  it('is followed at no lower epoch than what was seen, and at none too far ahead', () => {
    expect([4, 5, 6, 1_000_006].map((epoch) => isFollowable(leader(epoch), 5))).toEqual([false, true, true, false]);
  });

  it('is turned to only at a higher epoch while another one is well', () => {
    expect(isFollowable(leader(5, 'b'), 5, leader(5))).toBe(false);
    expect(isFollowable(leader(6, 'b'), 5, leader(5))).toBe(true);
    expect(isFollowable(leader(5), 5, leader(5))).toBe(true);
  });
});

describe('remembered peers', () => {
  const self = { node_id: 'me', url: () => 'http://192.0.2.1:7420' };
  const clock = new SimulatedClock();
  const open = (files = memoryStateFiles(), log = recordingLog()) => openPeers({ files, log, clock }, self);
  const peer = (index: number) => ({ url: `http://192.0.3.${index}:7420`, node_id: `n${index}` });

  const countedFiles = () => {
    const files = memoryStateFiles();
    const { write } = files;
    let written = 0;
    files.write = (name, text) => {
      written += 1;
      return write(name, text);
    };
    return { files, writes: () => written };
  };

  it('are at most 64, the one met last first, one address for each node, and never the node itself', async () => {
    const peers = await open();
    for (let index = 0; index < 80; index += 1) await peers.remember([peer(index)]);
    await peers.remember([
      { url: 'http://192.0.4.1:7420/', node_id: 'n79' },
      { url: 'http://192.0.2.1:7420' },
      { url: 'http://192.0.9.9', node_id: 'me' },
    ]);
    expect(peers.list()).toHaveLength(64);
    expect(peers.list().slice(0, 2)).toEqual([{ url: 'http://192.0.4.1:7420', node_id: 'n79' }, peer(78)]);
  });

  it('are not replaced by what an advert says, which may be old', async () => {
    const peers = await open();
    await peers.remember([peer(1)]);
    await peers.hearOf({ ...peer(1), url: 'http://192.0.2.66:7420' });
    await peers.hearOf(peer(2));
    expect(peers.list()).toEqual([peer(1), peer(2)]);
  });

  it('are written each while there are few, and once in a minute where nodes come and go all the time', async () => {
    const { files, writes } = countedFiles();
    const peers = await open(files);
    for (let index = 0; index < 200; index += 1) await peers.hearOf(peer(index));
    expect(writes()).toBe(8);
    for (let index = 0; index < 200; index += 1) await peers.remember([peer(index)]);
    expect(writes()).toBe(8);
    await clock.advance(60_000);
    await peers.remember([]);
    expect(writes()).toBe(9);
    expect((await open(files)).list()).toEqual(peers.list());
  });

  it('are on disk, written only when an address comes or goes; a damaged file is set aside', async () => {
    const { files, writes } = countedFiles();
    const peers = await open(files);
    await peers.remember([peer(1), peer(2)]);
    await peers.remember([peer(2), peer(1)]);
    expect(writes()).toBe(1);
    expect((await open(files)).list()).toEqual([peer(1), peer(2)]);
    files.texts.set('peers.json', '{"peers":[{"url":"no');
    const log = recordingLog();
    expect((await open(files, log)).list()).toEqual([]);
    expect(log.lines.map(({ message }) => message)).toEqual([expect.stringContaining("peers.json can't be used")]);
  });
});
