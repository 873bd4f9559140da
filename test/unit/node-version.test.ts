import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { cannotRunCheckout, tooOld } from '../../runtime-node/node-version.js';

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

it.each([
  ['bin.ts', "import { tooOld } from './node-version.js';"],
  ['main.js', "import { cannotRunCheckout } from './node-version.js';"],
])('the entry %s imports nothing else before it has looked', (name, first) => {
  const entry = readFileSync(new URL(`../../runtime-node/${name}`, import.meta.url), 'utf8');
  expect(entry.match(/^import .*/gm)).toEqual([first]);
});

it('the file that both entries begin with imports nothing', () => {
  const text = readFileSync(new URL('../../runtime-node/node-version.js', import.meta.url), 'utf8');
  expect(text).not.toMatch(/\bimport\b/);
});

it.each(['22.17.1', '23.5.0', '20.20.2'])('Node.js %s that runs no TypeScript is told so in a checkout, and what to do', (version) => {
  expect(cannotRunCheckout(version, version.startsWith('20') ? undefined : false)).toMatch(
    new RegExp(`^error: this is Node.js ${version.replaceAll('.', '\\.')}, and a checkout of bootplane needs .* 22.18 or later.*\nInstall`),
  );
});

it('a checkout ends with that text and code 1, and runs with this Node.js', () => {
  const entry = new URL('../../runtime-node/main.js', import.meta.url).pathname;
  const run = (...flags: string[]) => spawnSync(process.execPath, [...flags, entry, '--version'], { encoding: 'utf8' });
  const version = process.versions.node;
  expect(run('--no-experimental-strip-types')).toMatchObject({ status: 1, stdout: '', stderr: cannotRunCheckout(version, false) });
  expect(run()).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+/) });
});
