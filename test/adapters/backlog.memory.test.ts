import { backlogSuite } from '../conformance/backlog.suite.ts';
import { createMemoryBacklog } from '../support/memory-backlog.ts';

backlogSuite('memory', async () => {
  const backlog = createMemoryBacklog();
  return { backlog, dispose: () => backlog.close() };
});
