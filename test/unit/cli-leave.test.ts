import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Site, startSite } from '../support/cli.ts';

describe('leave', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  /** A process in the place of the node's, which ends when it is told to leave, and what the node answers then. */
  async function leaving(answer: object): Promise<void> {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)'], { stdio: 'ignore' });
    await writeFile(join(site.dir, 'listen.json'), JSON.stringify({ url: site.url, pid: child.pid }));
    site.own.set('POST /v1/node/leave', () => {
      child.kill('SIGKILL');
      return Response.json({ node_id: 'n1', leaving: true, ...answer }, { status: 202 });
    });
  }

  it('says that the node has left', async () => {
    await leaving({});
    const { code, out } = await site.run(['leave']);
    expect([code, out]).toEqual([0, `node n1 has left\nits data stays in ${site.dir}; \`bootplane up\` brings it back\n`]);
  });

  it.each([
    ['copy', 'another machine runs as this node, and that one stays in the fleet'],
    ['alone', 'it followed nobody'],
  ])('says that nobody was told, and why: %s', async (untold, why) => {
    await leaving({ untold });
    const { code, out } = await site.run(['leave']);
    expect([code, out]).toEqual([0, expect.stringContaining(`node n1 has stopped here, and nobody was told: ${why}`)]);
    await leaving({ untold });
    expect(JSON.parse((await site.run(['leave', '--json'])).out)).toEqual({ node_id: 'n1', left: false, untold });
  });
});
