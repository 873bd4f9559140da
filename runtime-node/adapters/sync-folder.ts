import { open } from 'node:fs/promises';

/**
 * Makes the names in a folder durable: after a new file's own fsync, only the fsync of its folder
 * keeps a power cut from losing the name. Windows can't open folders and needs none of this.
 */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
