import { describe } from 'vitest';
import { apiCases } from './api.cases.ts';
import { startOnNode } from './node-harness.ts';

describe('the Supervisor on Node and SQLite, over HTTP', () => apiCases(startOnNode));
