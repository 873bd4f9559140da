import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/runtime/workerd/**', 'test/bench/**'],
          testTimeout: 20_000,
        },
      },
    ],
  },
});
