import type { Problem, ProblemCode } from '../../shared/contract/problem.ts';

/**
 * What a detail says to clients of the REST API, and what it is to who types commands. By code, so that nothing else is
 * touched; where nothing takes its place, the hint of the code says what to do.
 */
const WORDS: Partial<Record<ProblemCode, readonly [RegExp, string]>> = {
  generation_moved: [/: look at what changed and send .*$/, ''],
  invalid_parameter: [/^break_glass: /, '--break-glass: '],
  no_such_generation: [/; GET \/v1\/\S+ lists those there are$/, ''],
  not_found: [/; GET \/v1\/openapi\.json lists the routes$/, ''],
  storage_corrupt: [/, with If-Match "\d+"$/, ''],
  unavailable: [/ \(\?break_glass=true\)/, ''],
  unknown_fleet: [/GET \/v1\/fleets lists them/, '`bootplane fleet list` shows them'],
  unknown_key: [/GET \/v1\/keys lists/, '`bootplane keys list` shows'],
  would_empty: [/; send \?allow_empty=true if that is meant$/, ''],
};

/** The detail of a problem in words of the command line. */
export function detailOf({ code, detail }: Pick<Problem, 'code' | 'detail'>): string {
  const words = WORDS[code];
  return words === undefined ? detail : detail.replace(...words);
}
