// @ts-check
/**
 * Makes the imports of a checkout fast. Node reads a package's package.json again for each of the package's relative
 * imports; these packages have hundreds, which cost most of the start. Inside them a relative
 * import is the file that it names, so this says so. zod's messages in fifty languages are one here, English, as in the published
 * package, which is bundled and does not need this. A Node.js without such hooks (before 22.15) looks as always.
 */
import module from 'node:module';

/** All of their files are ECMAScript modules. */
const INSIDE = /\/node_modules\/(?:drizzle-orm|hono|zod)\//;
const LANGUAGES = '/node_modules/zod/v4/locales/index.js';

module.registerHooks?.({
  resolve(specifier, context, next) {
    const parent = context.parentURL;
    if (parent !== undefined && specifier.startsWith('.') && INSIDE.test(parent)) {
      const named = parent.endsWith(LANGUAGES) ? './en.js' : specifier;
      return { url: new URL(named, parent).href, format: 'module', shortCircuit: true };
    }
    return next(specifier, context);
  },
});
