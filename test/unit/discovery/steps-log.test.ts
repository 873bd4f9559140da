import { expect, it } from 'vitest';
import type { ComponentStatus } from '../../../shared/contract/status.ts';
import { createStepsLog } from '../../../shared/discovery/steps-log.ts';
import { recordingLog } from '../../support/recording-log.ts';

const status = (of: ComponentStatus['status'], message?: string): ComponentStatus => ({
  ...{ status: of, action: 'reconcile', generation: 1, hash: 'a'.repeat(64), attempt: 1, duration_ms: 1 },
  ...(message === undefined ? {} : { message }),
  ...{ incompatible: [], at: '2026-01-01T00:00:00.000Z' },
});

it('a component whose external is away is no step that went well, and is told once until that is another one', () => {
  const log = recordingLog();
  const steps = createStepsLog(log);
  const away = status('pending', 's3 at http://192.0.2.9:9000 is away');
  for (let time = 0; time < 3; time += 1) steps.component('storage', away);
  for (let time = 0; time < 2; time += 1) steps.component('storage', status('applied'));
  steps.component('storage', status('unchanged'));
  steps.component('storage', away);
  steps.component('services', status('pending', 'services are being started'));
  expect(log.lines.map(({ level, message, fields }) => [level, message, fields?.result])).toEqual([
    ['warn', 'storage', 'pending: s3 at http://192.0.2.9:9000 is away'],
    ['info', 'storage', 'applied'],
    ['warn', 'storage', 'pending: s3 at http://192.0.2.9:9000 is away'],
    ['info', 'services', 'pending: services are being started'],
  ]);
});
