import { describe, expect, it } from 'vitest';
import { ClusterFile } from '../../../shared/contract/status.ts';
import { createClusterFile } from '../../../shared/discovery/cluster-file.ts';
import type { DiscoveryState } from '../../../shared/discovery/types.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { recordingServices } from './harness.ts';

const STATE: DiscoveryState = {
  phase: 'running',
  node_id: 'n',
  instance_id: 'i',
  fleet: 'default',
  site: 'shop-1',
  role: 'worker',
  epoch: 3,
  leads: false,
  provisional: false,
  confirmed: false,
  ttl_seconds: 15,
  generations: { plan: 2 },
  source: 'cloud',
  waiting_for: [],
};

function setUp() {
  const files = memoryStateFiles();
  const write = files.write;
  const written: string[] = [];
  const disk = { full: false };
  files.write = async (name, text) => {
    if (disk.full) throw new Error('no space left on device');
    written.push(text);
    await write(name, text);
  };
  const log = recordingLog();
  const current = { state: STATE };
  const services = recordingServices([], () => undefined, 'n');
  const file = createClusterFile({ files, log, clock: new SimulatedClock(), services }, () => current.state);
  return { file, written, current, services, disk, log };
}

describe('cluster.json', () => {
  it('holds what is known in the form of the contract, and no more', async () => {
    const { file, written, services } = setUp();
    services.running = ['api'];
    await file.update();
    const content = JSON.parse(written[0] ?? '');
    expect(ClusterFile.parse(content)).toEqual(content);
    expect(content).toMatchObject({ site: 'shop-1', plan_generation: 2, services: [{ name: 'api', version: '1', state: 'running' }] });
    expect(Object.keys(content)).not.toContain('leader_url');
  });

  it('is written when something changed, also in a service, and not otherwise', async () => {
    const { file, written, current, services } = setUp();
    await file.update();
    await file.update();
    expect(written).toHaveLength(1);
    services.running = ['api'];
    await file.update();
    current.state = { ...STATE, epoch: 4 };
    await file.update();
    current.state = { ...STATE, epoch: 4, waiting_for: ['something'] };
    await file.update();
    expect(written).toHaveLength(3);
  });

  it('ends with the newest state when updates overlap', async () => {
    const { file, written, current } = setUp();
    const first = file.update();
    current.state = { ...STATE, epoch: 9 };
    await Promise.all([first, file.update(), file.update()]);
    expect(written.map((text) => JSON.parse(text).epoch)).toEqual([3, 9]);
  });

  it('is written later when the disk was full, which is told and stops nothing', async () => {
    const { file, written, disk, log } = setUp();
    disk.full = true;
    await file.update();
    expect(log.lines[0]?.message).toContain("cluster.json can't be written: no space left on device");
    disk.full = false;
    await file.update();
    expect(written).toHaveLength(1);
  });

  it('is not written before there is anything that others could use', async () => {
    const { file, written, current } = setUp();
    const { source: _source, ...unknown } = STATE;
    current.state = unknown;
    await file.update();
    expect(written).toEqual([]);
  });
});
