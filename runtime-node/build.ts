/** Makes `dist/`, the published package: the bundled program, the four libraries, and their types. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
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

/** zod's messages in fifty languages are a third of the program; it speaks English. */
const englishOnly: Plugin = {
  name: 'english-only',
  setup({ onLoad }) {
    onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, () => ({ contents: "export { default as en } from './en.js';" }));
  },
};

// Native modules can't be bundled.
const { outputFiles } = await build({
  ...common,
  entryPoints: { bootplane: 'runtime-node/bin.ts' },
  platform: 'node',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  external: ['better-sqlite3', 'sqlite-vec'],
  plugins: [englishOnly],
  write: false,
});
// CommonJS packages inside the bundle call require(), by way of one chunk of esbuild's: only that one has to make it.
const makeRequire = "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);\n";
mkdirSync(join(dist, 'chunks'), { recursive: true });
for (const { path, text } of outputFiles) writeFileSync(path, text.includes('typeof require') ? makeRequire + text : text);
await build({
  ...common,
  entryPoints: {
    client: 'shared/client.ts',
    contract: 'shared/contract/index.ts',
    reconcile: 'shared/reconcile/index.ts',
    services: 'runtime-node/services.ts',
  },
  platform: 'neutral',
  packages: 'external',
  splitting: true,
  chunkNames: 'chunks/lib-[hash]',
});
execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'shared/tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
chmodSync(join(dist, 'bootplane.js'), 0o755);
