import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withDashboard } from '../../../runtime-node/dashboard.ts';

const FROM = { here: true, address: '127.0.0.1', secure: false };
const serve = withDashboard(async (request) => new Response(`rest: ${new URL(request.url).pathname}`));
const ask = (path: string, init: RequestInit = {}) => serve(new Request(`http://node${path}`, init), FROM);

describe('the files of the dashboard on a node', () => {
  it('gives each out with its type, and lets nothing of another origin in', async () => {
    const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
    const names = readdirSync('shared/dashboard/public').filter((name) => name !== '_headers');
    for (const name of names) {
      const { status, headers } = await ask(name === 'index.html' ? '/' : `/${name}`);
      expect([name, status]).toEqual([name, 200]);
      expect(headers.get('content-type')).toContain(types[name.split('.')[1] as keyof typeof types]);
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
    expect(await (await ask('/')).text()).toContain('<title>bootplane</title>');
  });

  it('sends what has not changed only once', async () => {
    const etag = (await ask('/main.js')).headers.get('etag') ?? '';
    const again = await ask('/main.js', { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const head = await ask('/', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it.each([
    ['GET', '/v1/state'],
    ['GET', '/v1/openapi.json'],
    ['GET', '/healthz'],
    ['GET', '/_headers'],
    ['GET', '/index.html'],
    ['GET', '/unknown.js'],
    ['GET', '/..%2fpackage.json'],
    ['POST', '/'],
    ['PUT', '/main.js'],
  ])('leaves %s %s to the node', async (method, path) => {
    expect(await (await ask(path, { method })).text()).toMatch(/^rest: /);
  });
});
