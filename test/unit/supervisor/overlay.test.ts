import { expect, it, onTestFinished } from 'vitest';
import { call, heartbeat, register } from '../../runtime/harness.ts';
import { startOnNode } from '../../runtime/node-harness.ts';
import { recordingLog } from '../../support/recording-log.ts';

it('an overlay that throws fails neither an event nor a heartbeat, and each is told in the log', async () => {
  const log = recordingLog();
  const emit = (topic: string) => {
    throw new Error(`no exchange for ${topic}`);
  };
  const harness = await startOnNode({ log, emit });
  onTestFinished(() => harness.close());
  await register(harness, 'a');
  expect((await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a') })).status).toBe(204);
  expect(log.lines.map(({ level, fields: { topic } }) => [level, topic])).toEqual([
    ['warn', 'overlay.register'],
    ['warn', 'overlay.heartbeat'],
  ]);
});
