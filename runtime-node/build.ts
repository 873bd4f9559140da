/** Makes `dist/`, the published package: the bundled program, the three libraries, and their types. */
import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { packageRoot } from './package-root.ts';

const root = packageRoot();
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });

const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: 'node22',
  outdir: 'dist',
  legalComments: 'linked',
  logLevel: 'warning',
} as const;

// Native modules can't be bundled. CommonJS packages inside the bundle call require().
const requireBanner = "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";
await build({
  ...common,
  entryPoints: { bootplane: 'runtime-node/bin.ts' },
  platform: 'node',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  external: ['better-sqlite3', 'sqlite-vec'],
  banner: { js: requireBanner },
});
await build({
  ...common,
  entryPoints: { client: 'shared/client.ts', contract: 'shared/contract/index.ts', reconcile: 'shared/reconcile/index.ts' },
  platform: 'neutral',
  packages: 'external',
  splitting: true,
  chunkNames: 'chunks/lib-[hash]',
});
execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'shared/tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
chmodSync(join(dist, 'bootplane.js'), 0o755);
