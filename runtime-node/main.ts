/**
 * The entry of a checkout: runs the TypeScript as it is. The published package starts at `cli.ts`, bundled.
 *
 * Node reads a package's package.json again for each of its relative imports; drizzle-orm has hundreds,
 * which cost most of the start. Inside drizzle-orm a relative import is the file that it names, so this says so.
 */
import { registerHooks } from 'node:module';

registerHooks({
  resolve(specifier, context, next) {
    const parent = context.parentURL;
    if (parent?.includes('/node_modules/drizzle-orm/') && specifier.startsWith('.')) {
      return { url: new URL(specifier, parent).href, format: 'module', shortCircuit: true };
    }
    return next(specifier, context);
  },
});

const { main } = await import('./cli.ts');
await main(process.argv);
