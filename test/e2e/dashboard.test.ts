import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Client, createClient } from '../../shared/client.ts';
import { problem } from '../../shared/contract/problem.ts';
import { createIdentityClient } from '../../shared/identity-client.ts';
import { openBrowser, whyNoBrowser } from '../support/browser.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const why = whyNoBrowser();
const named = (what: string) => `${what}${why === undefined ? '' : ` (skipped: ${why})`}`;
/** What a machine could be called by somebody who means ill. */
const HOSTILE = '<img src=x onerror="document.title=1">';

let browser: Browser;
let context: BrowserContext;
/** What the browser found wrong: scripts that failed, and what the page's own policy forbids. */
let complaints: string[] = [];

async function openPage(url: string): Promise<Page> {
  context = await browser.newContext();
  const page = await context.newPage();
  complaints = [];
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) complaints.push(message.text());
  });
  await page.goto(url);
  return page;
}

async function signIn(page: Page, credential: string, keep = false): Promise<void> {
  await page.fill('#credential', credential);
  if (keep) await page.check('#keep');
  await page.click('#sign-in');
}

const textOf = (page: Page, selector: string) => page.locator(selector).textContent();
const tile = (page: Page, name: string) => page.locator('.tile', { hasText: name });
const viewerKey = async (url: string, credential: string) =>
  (await createIdentityClient({ url, fetch, credential }).createKey({ scope: 'viewer', label: 'dashboard' })).key;

if (why === undefined) {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    await context?.close();
    expect(complaints).toEqual([]);
  });
  afterAll(() => browser?.close());
}

describe.skipIf(why !== undefined)(named('the dashboard of a node'), () => {
  let fleet: Fleet;
  let leader: Member;
  let follower: Member;

  beforeAll(async () => {
    fleet = await openFleet({ nodes: 2 });
    for (const member of fleet.members) await member.start();
    leader = await fleet.settled();
    follower = fleet.members.find((one) => one !== leader) ?? leader;
  });
  afterAll(() => fleet?.close());

  it('shows a viewer the site, and follows what happens without being loaded again', async () => {
    const key = await viewerKey(leader.url, fleet.key);
    const page = await openPage(leader.url);
    await signIn(page, key);
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    await expect.poll(() => tile(page, 'Nodes online').textContent()).toContain('2');
    await expect.poll(() => textOf(page, '#plan')).toContain('Nothing is published');

    const camera = { name: 'camera', version: '1', command: ['true'], placement: { capabilities: ['gpu'] } };
    await leader.client.publish('plan', { services: [camera] }, { if_match: 0 });
    await expect.poll(() => textOf(page, '#plan')).toContain('generation 1');
    await expect.poll(() => textOf(page, '#events')).toContain('published_by');
    await expect.poll(() => textOf(page, '#services')).toContain('nowhere');
    expect(await tile(page, 'Services').textContent()).toContain('1 not running as planned');

    await page.click('#turn-nodes');
    await expect.poll(() => textOf(page, '#nodes')).toContain('All nodes are heard');
    await page.click('#turn-nodes');
    await page.click(`#node-${follower.node_id}`);
    await expect.poll(() => textOf(page, 'dialog')).toContain(follower.url);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.locator('dialog').count()).toBe(0);
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe(`node-${follower.node_id}`);

    expect(page.url()).toBe(`${leader.url}/`);
    const kept = await page.evaluate('JSON.stringify([document.cookie, Object.values(localStorage), Object.values(sessionStorage)])');
    expect(kept).toBe('["",[],[]]');
  });

  it('opens at a node that does not know the key that another has issued', async () => {
    const page = await openPage(follower.url);
    await signIn(page, await viewerKey(leader.url, fleet.key));
    await expect.poll(() => tile(page, 'Nodes online').textContent()).toContain('2');
  });

  it('asks who it is when the key is taken back', async () => {
    const identity = createIdentityClient({ url: leader.url, fetch, credential: fleet.key });
    const { key, key_id } = await identity.createKey({ scope: 'viewer', label: 'dashboard' });
    const page = await openPage(leader.url);
    await signIn(page, key, true);
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    await page.click(`#node-${follower.node_id}`);
    await identity.revokeKey(key_id);
    await expect.poll(() => textOf(page, '[role=alert]')).toContain('revoked');
    expect(await page.locator('dialog').count()).toBe(0);
    expect([await page.locator('#tiles').count(), await page.evaluate('sessionStorage.length')]).toEqual([0, 0]);
  });

  it('draws what somebody was marking as soon as they are not any more', async () => {
    const page = await openPage(leader.url);
    await signIn(page, fleet.key);
    await expect.poll(() => textOf(page, '#profile')).toContain('Nothing is published');
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#profile p'))");
    await leader.client.publish('profile', { storage: { buckets: [{ name: 'kept' }] } }, { if_match: 0 });
    await expect.poll(() => tile(page, 'Environment Profile').textContent()).toContain('generation 1');
    expect(await textOf(page, '#profile')).toContain('Nothing is published');
    await page.evaluate('getSelection().removeAllRanges()');
    await expect.poll(() => textOf(page, '#profile')).toContain('generation 1');
  });

  it('shows all that it can read, and says what it can not', async () => {
    const page = await openPage(leader.url);
    const fails = problem('no_leader', 'nobody leads the site');
    await page.route('**/v1/state*', (route) => route.fulfill({ status: 503, json: { ...fails, status: 503 } }));
    await signIn(page, fleet.key);
    await expect.poll(() => textOf(page, '#tiles')).toContain('The state of the site could not be read: nobody leads the site');
    await expect.poll(() => textOf(page, '#nodes')).toContain(follower.node_id);
    expect(await textOf(page, '#where')).toContain(leader.node_id);
    await page.unrouteAll();
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    expect(await textOf(page, '#tiles')).not.toContain('could not be read');
  });

  it('never shows one site under the name of another', async () => {
    const page = await openPage(`${leader.url}/#site=no%20site`);
    await signIn(page, fleet.key);
    await expect.poll(() => textOf(page, '#nodes')).toContain(follower.node_id);
    await page.route('**/v1/nodes*', () => undefined);
    await page.fill('#site', 'shop-9');
    await page.keyboard.press('Enter');
    expect(await textOf(page, '#nodes')).not.toContain(follower.node_id);
    await page.unrouteAll();
    await page.evaluate("location.hash = '#site=default'");
    await expect.poll(() => textOf(page, '#nodes')).toContain(follower.node_id);
    expect(await page.inputValue('#site')).toBe('default');
  });

  it('says why a credential opens nothing', async () => {
    const page = await openPage(leader.url);
    await signIn(page, 'a key that is not of this fleet');
    await expect.poll(() => textOf(page, '[role=alert]')).toContain('credential');
    expect(await page.locator('#tiles').count()).toBe(0);
  });

  it('shows what a node calls itself as text', async () => {
    const node = { node_id: 'stranger', capabilities: [], host: HOSTILE, ip: '192.0.2.9', versions: { bootplane: HOSTILE } };
    await leader.client.register(node);
    const page = await openPage(leader.url);
    await signIn(page, fleet.key);
    await expect.poll(() => textOf(page, '#nodes')).toContain(HOSTILE);
    await page.click('#node-stranger');
    await expect.poll(() => textOf(page, 'dialog')).toContain(HOSTILE);
    expect(await page.locator('img').count()).toBe(0);
    await leader.client.leave('stranger');
  });

  it('keeps who asked for it signed in when it is loaded again, until they sign out', async () => {
    const page = await openPage(leader.url);
    await signIn(page, fleet.key, true);
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    await page.reload();
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    await page.click('#sign-out');
    await page.reload();
    await expect.poll(() => page.locator('#credential').count()).toBe(1);
  });

  it('says when nobody answers, keeps what it showed, and goes on when somebody does', async () => {
    const page = await openPage(follower.url);
    await signIn(page, fleet.key);
    await expect.poll(() => tile(page, 'Nodes online').textContent()).toContain('2');
    await follower.process?.end('SIGKILL');
    await expect.poll(() => textOf(page, '#line')).toContain('does not answer');
    expect(await textOf(page, '#tiles')).toContain(leader.node_id);
    await follower.start();
    await expect.poll(() => page.locator('#line').isVisible()).toBe(false);
  });

  it('asks for nothing again because a node was starting', async () => {
    const page = await openPage(follower.url);
    await signIn(page, fleet.key, true);
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
    await page.route('**/healthz', (route) => route.fulfill({ status: 503, json: problem('unavailable', 'the node is starting') }));
    await page.reload();
    await expect.poll(() => textOf(page, '#line')).toContain('the node is starting');
    await page.unrouteAll();
    await expect.poll(() => page.locator('#tiles').count()).toBe(1);
    await expect.poll(() => textOf(page, '#tiles')).toContain(leader.node_id);
  });
});

describe.skipIf(why !== undefined)(named('the dashboard of a cloud'), () => {
  const KEY = 'a fleet key that is only for tests';
  const ADMIN = 'an admin key that is only for tests';
  let worker: WorkerProcess;
  let cloud: Client;

  const register = (client: Client, node_id: string, site: string) =>
    client.register({ node_id, site, capabilities: [], host: node_id, ip: '192.0.2.1', versions: { bootplane: '0.1.0' } });

  beforeAll(async () => {
    worker = await startWorkerProcess(KEY, { BOOTPLANE_ADMIN_KEY: ADMIN, BOOTPLANE_SECRET: 'a secret that is only for the tests' });
    cloud = createClient({ url: worker.url, credential: KEY });
    await register(cloud, 'till-1', 'shop-1');
    await register(cloud, 'till-2', 'shop-2');
  });
  afterAll(() => worker?.stop());

  it('comes with the same headers as from a node', async () => {
    const { headers } = await fetch(worker.url);
    expect(headers.get('content-type')).toContain('text/html');
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    for (const name of ['referrer-policy', 'x-content-type-options', 'cross-origin-opener-policy']) expect(headers.has(name)).toBe(true);
    expect((await fetch(`${worker.url}/_headers`)).status).toBe(404);
  });

  it('shows one site of the fleet after the other, named in the address', async () => {
    const page = await openPage(worker.url);
    await signIn(page, await viewerKey(worker.url, KEY));
    await expect.poll(() => textOf(page, '#nodes')).toContain('till-1');
    expect(await textOf(page, '#where')).toContain('cloud');
    await page.fill('#site', 'shop-2');
    await page.keyboard.press('Enter');
    await expect.poll(() => textOf(page, '#nodes')).toContain('till-2');
    expect(await textOf(page, '#nodes')).not.toContain('till-1');
    expect(page.url()).toBe(`${worker.url}/#site=shop-2`);
  });

  it('lets an admin choose a fleet', async () => {
    const admin = createIdentityClient({ url: worker.url, fetch, credential: ADMIN });
    for (const [fleet, node_id] of [
      ['harbour', 'crane'],
      ['meadow', 'gate'],
    ] as const) {
      const { key } = await admin.createFleet({ fleet });
      await register(createClient({ url: worker.url, credential: key ?? '' }), node_id, 'default');
    }
    const page = await openPage(worker.url);
    await signIn(page, ADMIN);
    await page.getByRole('button', { name: 'harbour' }).click();
    await expect.poll(() => textOf(page, '#nodes')).toContain('crane');
    expect(await textOf(page, '#where')).toContain('harbour');
    await page.click('#other-fleet');
    await page.getByRole('button', { name: 'meadow' }).click();
    await expect.poll(() => textOf(page, '#nodes')).toContain('gate');
  });
});
