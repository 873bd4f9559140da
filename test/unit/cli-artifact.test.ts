import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../support/cli.ts';

describe('artifact list', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  it.each([
    [{ node_id: 'a', role: 'leader' }, 'stored at node a, which leads;'],
    [
      { node_id: 'a', role: 'worker', source: 'mdns', leader_node_id: 'b', leader_url: 'http://192.0.2.7:7420' },
      'stored at node b (http://192.0.2.7:7420), which leads;',
    ],
    [{ node_id: 'a', role: 'worker', source: 'cloud' }, 'stored at the cloud, which node a follows;'],
    [{}, 'stored at http://127.0.0.1:'],
  ])('says whose it is: %j', async (health, whose) => {
    site.own.set('GET /healthz', { status: 'ok', ...health });
    const file = join(site.dir, 'server.sh');
    await writeFile(file, '#!/bin/sh\n');
    expect((await site.run(['artifact', 'list'])).out).toMatch(/^no artifact is stored\n\nstored at /);
    expect((await site.run(['artifact', 'push', file])).code).toBe(0);
    const { code, out } = await site.run(['artifact', 'list']);
    expect([code, out]).toEqual([0, expect.stringContaining(`\n\n${whose}`)]);
    expect(JSON.parse((await site.run(['artifact', 'list', '--json'])).out).artifacts).toHaveLength(1);
  });
});
