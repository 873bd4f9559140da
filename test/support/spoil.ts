import { existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';

/** Ways in which a file of a data directory goes bad. `folder` stands for all that can't be read, also by root. */
export const SPOILS = {
  'holds garbage': (path: string) => writeFileSync(path, 'garbage, '.repeat(2000)),
  'is cut in half': (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  'is empty': (path: string) => writeFileSync(path, ''),
  'is all zeros': (path: string) => writeFileSync(path, Buffer.alloc(Math.max(1, statSync(path).size))),
  'has a stretch overwritten': (path: string) => {
    const bytes = readFileSync(path);
    const from = Math.floor(bytes.length / 3);
    bytes.fill(0xa5, from, Math.min(bytes.length, from + Math.max(16, Math.floor(bytes.length / 4))));
    writeFileSync(path, bytes);
  },
  'is a folder': (path: string) => {
    if (existsSync(path)) rmSync(path);
    mkdirSync(path);
  },
} as const;

export type Spoil = keyof typeof SPOILS;
