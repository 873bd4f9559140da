import { describe } from 'vitest';
import { documentCases } from './documents.cases.ts';
import { startOnNode } from './node-harness.ts';
describe('node', () => documentCases(startOnNode));
