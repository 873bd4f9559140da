import { accessCases } from './access.cases.ts';
import { artifactCases } from './artifacts.cases.ts';
import { backlogCases } from './backlog.cases.ts';
import { contentionCases } from './contention.cases.ts';
import { noDataCases } from './data-absent.cases.ts';
import { documentCases } from './documents.cases.ts';
import { errorCases } from './errors.cases.ts';
import { eventCases } from './events.cases.ts';
import type { Start } from './harness.ts';
import { leaderCases } from './leader.cases.ts';
import { newsCases } from './news.cases.ts';
import { nodeCases } from './nodes.cases.ts';
import { openApiCases } from './openapi.cases.ts';
import { planCases } from './plan.cases.ts';
import { pruneCases } from './prune.cases.ts';
import { reconcileCases } from './reconcile.cases.ts';
import { stateCases } from './state.cases.ts';
import { tokenCases } from './tokens.cases.ts';
import { storedDocumentCases } from './stored-documents.cases.ts';
import { sweepCases } from './sweep.cases.ts';
import { uplinkCases } from './uplink.cases.ts';
import { ttlCases } from './ttl.cases.ts';
import { versionCases } from './versions.cases.ts';

/** The whole suite of the API, in the order of the files. Each runtime runs all of it. */
export function apiCases(start: Start): void {
  accessCases(start);
  tokenCases(start);
  errorCases(start);
  nodeCases(start);
  leaderCases(start);
  contentionCases(start);
  ttlCases(start);
  uplinkCases(start);
  newsCases(start);
  eventCases(start);
  documentCases(start);
  storedDocumentCases(start);
  versionCases(start);
  planCases(start);
  pruneCases(start);
  backlogCases(start);
  reconcileCases(start);
  stateCases(start);
  artifactCases(start);
  noDataCases(start);
  openApiCases(start);
  sweepCases(start);
}
