import { type Browser, chromium } from 'playwright-core';
import { programPath } from './program-path.ts';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

function findBrowser(): string | undefined {
  return PROGRAMS.map(programPath).find((path) => path !== undefined);
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
