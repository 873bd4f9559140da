// @ts-check
/**
 * The entry of a checkout, which runs the TypeScript as it is. These first files are JavaScript: by the time
 * that Node meets TypeScript the compile cache is on, and it need not load its parser for what it knows. They are imported late,
 * so that a Node.js that is too old gets to say so: it can't even link what it does not have.
 * The published package starts at `bin.ts`, bundled. `node:http` brings the HTTP client of Node with it, the largest of its own
 * modules: it comes first, since Node compiles what it loads after `startSmall` anew, at twice the cost.
 */
import { cannotRunCheckout } from './node-version.js';

const complaint = cannotRunCheckout(process.versions.node, process.features.typescript);
if (complaint === undefined) {
  await import('node:http');
  await import('./fast-imports.js');
  const { keepCompiledCode } = await import('./compile-cache.js');
  const { startSmall } = await import('./small-start.js');
  startSmall();
  keepCompiledCode();
  const { main } = await import('./cli.ts');
  await main(process.argv);
} else {
  process.stderr.write(complaint);
  process.exitCode = 1;
}
