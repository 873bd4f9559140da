#!/usr/bin/env node
/** The entry of the published package. What follows is imported late, so that the compile cache is on by then. */
import { keepCompiledCode } from './compile-cache.js';

keepCompiledCode();
const { main } = await import('./cli.ts');
await main(process.argv);
