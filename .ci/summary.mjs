// Reads Vitest's JSON report, fails a run in which a test was skipped that CI could have run, and
// prints the closing line. Usage: node summary.mjs REPORT STATUS_OF_NPM_TEST
import { readFileSync } from 'node:fs';

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
for (const test of skipped) process.stdout.write(`skipped in CI: ${test.file} > ${test.fullName}\n`);

const brokenFiles = results.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
).length;
const checksFailed = npmStatus !== '0' && results.numFailedTests === 0 && brokenFiles === 0 ? 1 : 0;
const failed = results.numFailedTests + brokenFiles + skipped.length + checksFailed;
process.stdout.write(`${results.numPassedTests} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && npmStatus === '0' && results.numPassedTests > 0 ? 0 : 1;
