// @ts-check
/**
 * Makes the imports of a checkout fast. Node reads a package's package.json again for each of the package's relative
 * imports; drizzle-orm has hundreds, which cost most of the start. Inside drizzle-orm a relative
 * import is the file that it names, so this says so. The published package is bundled and does not need it.
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
