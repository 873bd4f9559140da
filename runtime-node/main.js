// @ts-check
/**
 * The entry of a checkout, which runs the TypeScript as it is. These first files are JavaScript: by the time
 * that Node meets TypeScript the compile cache is on, and it need not load its parser for what it knows.
 * The published package starts at `bin.ts`, bundled. `node:http` brings the HTTP client of Node with it, the largest of its own
 * modules: it comes first, since Node compiles what it loads after `startSmall` anew, at twice the cost.
 */
import 'node:http';
import './fast-imports.js';
import { keepCompiledCode } from './compile-cache.js';
import { startSmall } from './small-start.js';

startSmall();
keepCompiledCode();
const { main } = await import('./cli.ts');
await main(process.argv);
