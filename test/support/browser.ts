import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

function findBrowser(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return PROGRAMS.flatMap((program) => folders.map((folder) => join(folder, program))).find((path) => existsSync(path));
}

/** What keeps tests from opening a browser, or undefined. */
export function whyNoBrowser(): string | undefined {
  return findBrowser() === undefined ? 'needs a Chromium (apt install chromium)' : undefined;
}

/** A real Chromium, without a window. */
export function openBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) throw new Error(whyNoBrowser());
  // Its sandbox does not start as root, as which CI runs; the pages are our own.
  return chromium.launch({ executablePath, args: ['--no-sandbox'] });
}
