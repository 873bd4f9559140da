import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as z from 'zod';

const json = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
const { scripts } = z.object({ scripts: z.record(z.string(), z.string()) }).parse(json('package.json'));

// A shell that waits for the node ends by the Ctrl-C itself: npm then reports 130 for a node that stopped in order.
it.each(['start', 'bootplane'])('npm run %s leaves no shell between npm and the node', (name) => {
  expect(scripts[name]).toMatch(/&& exec node \S+$|&& exec node \S+ up --examples$/);
});

it('the first npm start tells that it installs, which takes a while', () => {
  expect(scripts.setup).toMatch(/echo 'Installing .*>&2; npm install/);
});

it('npm run dev:worker asks nothing: wrangler goes on by itself where nobody can answer', () => {
  expect(scripts['dev:worker']).toContain('migrations apply DB --local </dev/null && ');
});
