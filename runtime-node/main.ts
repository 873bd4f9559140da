/** The entry of a checkout: runs the TypeScript as it is. The published package starts at `bin.ts`, bundled. */
import './fast-imports.ts';

const { main } = await import('./cli.ts');
await main(process.argv);
