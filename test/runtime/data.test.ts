import { describe } from 'vitest';
import { dataCases } from './data.cases.ts';
import { embeddedPorts, memoryPorts } from './data.harness.ts';

describe('the data API over ports in memory', () => dataCases(memoryPorts));
describe('the data API over the embedded adapters', () => dataCases(embeddedPorts));
