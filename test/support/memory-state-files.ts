import type { StateFiles } from '../../shared/ports/state-files.ts';

/** The state files of one node, in memory. `texts` is there for tests to read and to spoil. */
export function memoryStateFiles(texts = new Map<string, string>()): StateFiles & { readonly texts: Map<string, string> } {
  return {
    texts,
    async read(name) {
      return texts.get(name);
    },
    async write(name, text) {
      texts.set(name, text);
    },
    async setAside(name, _why, reason = 'corrupt') {
      const text = texts.get(name);
      if (text === undefined) return undefined;
      const free = Array.from(
        { length: texts.size + 1 },
        (_, index) => `${name}.${reason === 'corrupt' ? 'unusable' : reason}-${index + 1}`,
      ).find((one) => !texts.has(one));
      if (free === undefined) return undefined;
      texts.delete(name);
      texts.set(free, text);
      return free;
    },
    async remove(name) {
      texts.delete(name);
    },
  };
}
