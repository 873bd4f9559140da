import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** One forbidden line per folder and rule; the message has to teach, so a word of it is expected too. */
const FORBIDDEN: readonly (readonly [file: string, source: string, teaches: string])[] = [
  ['shared/contract/bad.ts', "import '../ports/clock.ts';", 'shared/contract is the wire'],
  ['shared/contract/bad-node.ts', "import 'node:fs';", 'shared/ports'],
  ['shared/contract/bad-fs.ts', "import 'fs';", 'shared/ports'],
  ['shared/contract/bad-hono.ts', "import 'hono';", 'Only shared/supervisor'],
  ['shared/ports/bad.ts', "import '../decide/backoff.ts';", 'A port may import'],
  ['shared/decide/bad.ts', "import '../ports/clock.ts';", 'Decisions are pure'],
  ['shared/reconcile/bad.ts', "import '../supervisor/app.ts';", 'shared/reconcile may import'],
  ['shared/reconcile/bad-client.ts', "import '../client.ts';", 'shared/reconcile may import'],
  ['shared/discovery/bad.ts', "import '../supervisor/app.ts';", 'meet over /v1'],
  ['shared/discovery/bad-dynamic.ts', "await import('../supervisor/app.ts');", 'meet over /v1'],
  ['shared/supervisor/bad.ts', "import '../discovery/locate.ts';", 'meet over /v1'],
  ['shared/supervisor/bad-runtime.ts', "import '../../runtime-node/node.ts';", 'composition roots'],
  ['shared/supervisor/bad-workers.ts', "import 'cloudflare:workers';", 'functions/adapters'],
  ['shared/dashboard/bad.ts', "import '../supervisor/app.ts';", 'The dashboard talks to /v1'],
  ['shared/client.ts', "import './discovery/locate.ts';", 'The client may import'],
  ['shared/client-streams.ts', "import './ports/clock.ts';", 'The client may import'],
  ['shared/reconcile/bad-client-part.ts', "import '../client-streams.ts';", 'shared/reconcile may import'],
  ['shared/services/bad.ts', "import '../ports/clock.ts';", 'The client may import'],
  ['functions/bad.ts', "import '../runtime-node/node.ts';", 'never runtime-node/'],
  ['functions/bad-node.ts', "import 'node:fs';", 'without nodejs_compat'],
  ['runtime-node/bad.ts', "import '../functions/worker.ts';", 'never functions/'],
  ['runtime-node/bad-test.ts', "import '../test/support/recording-log.ts';", 'nor test/'],
  ['runtime-node/commands/bad.ts', "import '../adapters/sqlite.ts';", 'A command talks to a node over /v1'],
  ['runtime-node/commands/bad-node.ts', "import '../node.ts';", 'A command talks to a node over /v1'],
  ['shared/decide/bad-date.ts', 'export const now = Date.now();', 'Clock port'],
  ['shared/decide/bad-timer.ts', 'setTimeout(() => {}, 1);', 'clock.sleep'],
  ['shared/decide/bad-random.ts', 'export const luck = Math.random();', 'Random port'],
  ['shared/decide/bad-uuid.ts', 'export const id = crypto.randomUUID();', 'random.uuid()'],
  ['shared/decide/bad-process.ts', 'export const home = process.env;', 'composition root'],
];

const ALLOWED: readonly (readonly [file: string, source: string])[] = [
  ['shared/ports/good.ts', "import '../contract/ids.ts';"],
  ['shared/supervisor/good.ts', "import 'hono';\nimport '../decide/backoff.ts';\nimport '../ports/clock.ts';"],
  ['shared/discovery/good.ts', "import '../client.ts';\nimport '../reconcile/types.ts';"],
  ['runtime-node/good.ts', "import 'node:fs';\nimport '../shared/supervisor/app.ts';"],
];

let folder: string;
let output: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bootplane-lint-'));
  cpSync('biome.json', join(folder, 'biome.json'));
  cpSync('test/lint', join(folder, 'test/lint'), { recursive: true });
  for (const [file, source] of [...FORBIDDEN, ...ALLOWED]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `${source}\n`);
  }
  const biome = join(process.cwd(), 'node_modules/.bin/biome');
  const run = spawnSync(biome, ['lint', '--vcs-enabled=false', '--max-diagnostics=none', '.'], {
    cwd: folder,
    encoding: 'utf8',
  });
  output = `${run.stdout}${run.stderr}`;
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** All that was said of one file. */
function saidOf(file: string): string {
  const diagnostics = output.split(/^(?=\S+\.ts:\d+:\d+ )/m);
  return diagnostics.filter((one) => one.startsWith(`${file}:`)).join('\n');
}

describe('import rules', () => {
  it.each(FORBIDDEN)('%s refuses `%s`', (file, _source, teaches) => {
    expect(saidOf(file)).toContain(teaches);
  });

  it.each(ALLOWED)('%s allows `%s`', (file) => {
    expect(saidOf(file)).not.toContain('noRestricted');
  });
});
