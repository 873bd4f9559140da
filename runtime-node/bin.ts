#!/usr/bin/env node
/** The entry of the published package. */
import { main } from './cli.ts';

await main(process.argv);
