import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { installPlatform } from './platform.ts';
import { SCENARIOS, tell } from './scenarios.ts';

beforeAll(installPlatform);

/** `UPDATE_TRANSCRIPTS=1` writes them anew, for a person to read what has changed. */
const UPDATE = process.env.UPDATE_TRANSCRIPTS === '1';

describe('what the nodes of a site do, as the transcripts tell', () => {
  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('%s', async (name, scenario) => {
    const path = fileURLToPath(new URL(`transcripts/${name}.txt`, import.meta.url));
    const told = await tell(scenario);
    if (UPDATE || !existsSync(path)) writeFileSync(path, told);
    expect(told).toBe(readFileSync(path, 'utf8'));
  });
});
