import { fileURLToPath } from 'node:url';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

const migrations = await readD1Migrations(fileURLToPath(new URL('migrations', import.meta.url)));

/** Where CI wants the results as JSON. */
const report = process.env.VITEST_JSON_REPORT;

/** Real processes on a machine that is busy with the other tests: limits for what hangs, not a measure. */
const patient = { testTimeout: 300_000, hookTimeout: 300_000, expect: { poll: { timeout: 120_000 } } };

export default defineConfig({
  test: {
    // Half of what the tests do is to wait for processes of their own: each core has a file to work on.
    maxWorkers: '100%',
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    projects: [
      {
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/runtime/workerd/**', 'test/bench/**', 'test/lan/**'],
          ...patient,
        },
      },
      {
        test: {
          name: 'lan',
          include: ['test/lan/**/*.test.ts'],
          ...patient,
          // Many real processes, whose clocks run on: one file at a time, after everything else.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // The same suites inside workerd, on D1, as wrangler.toml sets the Worker up.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: { bindings: { MIGRATIONS: migrations, BOOTPLANE_API_KEY: 'a fleet key that is only for tests' } },
          }),
        ],
        test: { name: 'workerd', include: ['test/runtime/workerd/**/*.test.ts'], ...patient },
      },
    ],
  },
});
