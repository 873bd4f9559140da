// Reads Vitest's JSON report, names the tests that were skipped, fails a run in which one of them was skipped that CI could
// have run, and prints the closing line. Usage: node summary.mjs REPORT STATUS_OF_NPM_TEST
import { readFileSync } from 'node:fs';

/** What CI cannot provide: servers that nobody packages for its machine. A suite says so in its name. */
const BEYOND_CI = ['(skipped: WEAVIATE_URL names no Weaviate)', '(skipped: MINIO_ENDPOINT names no store)'];

const [report, npmStatus] = process.argv.slice(2);

function read() {
  try {
    return JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return { testResults: [], numPassedTests: 0, numFailedTests: 0 };
  }
}

const results = read();
const tests = results.testResults.flatMap((file) => file.assertionResults.map((test) => ({ file: file.name, ...test })));
const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed');
const possible = skipped.filter(({ fullName }) => !BEYOND_CI.some((reason) => fullName.includes(reason)));
for (const test of possible) process.stdout.write(`skipped in CI: ${test.file} > ${test.fullName}\n`);
for (const reason of BEYOND_CI) {
  const beyond = skipped.filter(({ fullName }) => fullName.includes(reason));
  const files = new Set(beyond.map(({ file }) => file));
  if (beyond.length > 0) process.stdout.write(`beyond CI ${reason}: ${beyond.length} tests in ${[...files].join(', ')}\n`);
}

const brokenFiles = results.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
).length;
const checksFailed = npmStatus !== '0' && results.numFailedTests === 0 && brokenFiles === 0 ? 1 : 0;
const failed = results.numFailedTests + brokenFiles + possible.length + checksFailed;
process.stdout.write(`${results.numPassedTests} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && npmStatus === '0' && results.numPassedTests > 0 ? 0 : 1;
