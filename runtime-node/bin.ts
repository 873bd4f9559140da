#!/usr/bin/env node
/**
 * The entry of the published package. What follows is imported late, so that the compile cache is on by then, and so that
 * a Node.js that is too old gets to say so: it can't even link what it does not have.
 */
import { tooOld } from './node-version.js';

const complaint = tooOld(process.versions.node);
if (complaint === undefined) {
  const { keepCompiledCode } = await import('./compile-cache.js');
  keepCompiledCode();
  const { main } = await import('./cli.ts');
  await main(process.argv);
} else {
  process.stderr.write(complaint);
  process.exitCode = 1;
}
