import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { tooOld } from '../../runtime-node/node-version.ts';

it.each(['22.12.0', '22.13.1', '23.0.0', '24.21.0', '100.0.0', process.versions.node])('runs on Node.js %s', (version) => {
  expect(tooOld(version)).toBeUndefined();
});

it.each(['18.20.0', '20.20.2', '22.0.0', '22.11.9'])('Node.js %s is told to be too old, and what to do', (version) => {
  expect(tooOld(version)).toContain(`this is Node.js ${version}, and bootplane needs 22.12 or later\nInstall`);
});

it('says what package.json says', () => {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const { engines } = z.object({ engines: z.object({ node: z.string() }) }).parse(manifest);
  expect(tooOld('1.0.0')).toContain(engines.node.replace('>=', 'needs '));
});

it('the entry of the package imports nothing else before it has looked', () => {
  const entry = readFileSync(new URL('../../runtime-node/bin.ts', import.meta.url), 'utf8');
  expect(entry.match(/^import .*/gm)).toEqual(["import { tooOld } from './node-version.ts';"]);
});
