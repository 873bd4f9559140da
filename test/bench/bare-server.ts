/** What every figure over HTTP is compared with: Hono on Node, parse JSON, answer JSON, nothing else. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();
app.post('/', async (context) => context.json(await context.req.json()));
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => process.stdout.write(`${JSON.stringify({ port })}\n`));
