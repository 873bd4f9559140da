import { describe } from 'vitest';
import { apiCases } from '../api.cases.ts';
import { startOnWorkerd } from './harness.ts';

describe('the Supervisor in workerd, on D1', () => apiCases(startOnWorkerd));
