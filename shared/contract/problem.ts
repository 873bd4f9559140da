import * as z from 'zod';

/**
 * Every error that a caller can meet. `status` is the HTTP status; `retry` whether the same request
 * may succeed later. One table, so that nothing has an error without a code.
 */
export const PROBLEMS = {
  bad_request: { status: 400, title: 'The request is not valid', retry: false },
  malformed_json: { status: 400, title: 'The body is not JSON', retry: false },
  invalid_body: { status: 400, title: 'The body does not have the right fields', retry: false },
  invalid_parameter: { status: 400, title: 'A parameter is not valid', retry: false },
  unauthenticated: { status: 401, title: 'A credential is needed', retry: false },
  forbidden: { status: 403, title: 'The credential does not allow this', retry: false },
  /** What a node keeps instead of the fleet key is told where nobody listens on the way. */
  https_required: { status: 403, title: 'This is answered over https only', retry: false },
  key_used_up: { status: 403, title: 'The join key has let in as many nodes as it may', retry: false },
  not_found: { status: 404, title: 'There is no such route', retry: false },
  unknown_node: { status: 404, title: 'The node is not registered', retry: false },
  /** 404 to who asks for the leader; 503 from a node that has nobody to pass a call on to. */
  no_leader: { status: 404, title: 'No node leads this site', retry: true },
  no_plan: { status: 404, title: 'No Cluster Plan is published', retry: true },
  no_profile: { status: 404, title: 'No Environment Profile is published', retry: true },
  no_such_generation: { status: 404, title: 'There is no such generation', retry: false },
  unknown_fleet: { status: 404, title: 'There is no such fleet', retry: false },
  unknown_key: { status: 404, title: 'There is no such key', retry: false },
  no_artifact: { status: 404, title: 'The artifact is not here', retry: true },
  no_such_bucket: { status: 404, title: 'There is no such bucket', retry: false },
  no_such_key: { status: 404, title: 'The bucket holds no such key', retry: false },
  no_such_exchange: { status: 404, title: 'There is no such exchange', retry: false },
  no_such_queue: { status: 404, title: 'There is no such queue', retry: false },
  no_such_class: { status: 404, title: 'There is no such class', retry: false },
  no_such_vector: { status: 404, title: 'The class holds no such object', retry: false },
  no_such_conflict: { status: 404, title: 'There is no such conflict', retry: false },
  method_not_allowed: { status: 405, title: 'The route does not know this method', retry: false },
  stale_epoch: { status: 409, title: 'The caller follows a leader that no longer leads', retry: false },
  duplicate_node: { status: 409, title: 'Another machine runs with the same node_id', retry: false },
  fleet_exists: { status: 409, title: 'There is a fleet of that name', retry: false },
  fleet_fixed: { status: 409, title: 'The fleet is one of the settings', retry: false },
  rotation_under_way: { status: 409, title: 'The fleet key is being replaced already', retry: true },
  conflict_changed: { status: 409, title: 'The conflict is not what was shown', retry: false },
  conflict_stays: { status: 409, title: 'What is ours can not take that place', retry: true },
  prune_expired: { status: 409, title: 'The hash was not shown lately', retry: false },
  prune_changed: { status: 409, title: 'What would be removed is not what was approved', retry: false },
  prune_refused: { status: 409, title: 'Nothing may be removed now', retry: true },
  unknown_delivery: { status: 409, title: 'The delivery was settled before, or its time had run out', retry: false },
  already_exists: { status: 412, title: 'The key is taken', retry: false },
  generation_moved: { status: 412, title: 'Another version was published in the meantime', retry: false },
  too_large: { status: 413, title: 'The body is too large', retry: false },
  unsupported_media_type: { status: 415, title: 'The body must be application/json', retry: false },
  range_not_satisfiable: { status: 416, title: 'There is no byte in that range', retry: false },
  artifact_mismatch: { status: 422, title: 'The body does not have that SHA-256', retry: false },
  checksum_mismatch: { status: 422, title: 'The body does not have the SHA-256 that was sent with it', retry: false },
  /** Nothing was done (RFC 9110, section 15.5.20): who passed the request on may send it to the leader instead. */
  misdirected: { status: 421, title: 'The request was passed on to a node that does not decide about it', retry: true },
  would_empty: { status: 422, title: 'The document would remove everything', retry: false },
  epoch_jump: { status: 422, title: 'The epoch is too far ahead to be true', retry: false },
  precondition_required: { status: 428, title: 'If-Match is needed', retry: false },
  too_many_requests: { status: 429, title: 'Too many requests', retry: true },
  internal: { status: 500, title: 'The Supervisor failed', retry: true },
  storage_corrupt: { status: 500, title: 'What the Supervisor stored does not verify', retry: false },
  no_artifact_store: { status: 501, title: 'This Supervisor keeps no artifacts', retry: false },
  /** What a node keeps elsewhere, in an object store, a broker or a vector index of its own. */
  backend_refused: { status: 502, title: 'The backend does not take the credentials of the node', retry: true },
  backend_away: { status: 503, title: 'The backend does not answer', retry: true },
  unavailable: { status: 503, title: 'The Supervisor cannot answer now', retry: true },
  storage_full: { status: 507, title: 'The disk of the Supervisor is full', retry: true },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;
export const ProblemCode = z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]);

/** RFC 9457 problem details. `errors` points into the body with JSON Pointers (RFC 6901). */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: ProblemCode,
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
    /** With `stale_epoch` and lost claims: who leads. With `no_leader` of a node: whom it follows, which only the one named can prove. */
    leader: z.object({ leader_url: z.string(), node_id: z.string(), epoch: z.number().int() }).optional(),
    /** With `generation_moved`: the current one. */
    generation: z.number().int().optional(),
    /** With `no_leader`, for a challenge: as in a Leader. */
    proof: z.string().optional(),
    proved_by: z.string().optional(),
    proved_by_instance: z.string().optional(),
    epoch_seen: z.number().int().optional(),
    eligible: z.boolean().optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;

export const PROBLEM_JSON = 'application/problem+json';

export type ProblemExtras = Partial<
  Pick<Problem, 'errors' | 'leader' | 'generation' | 'proof' | 'proved_by' | 'proved_by_instance' | 'epoch_seen' | 'eligible'>
>;

/** The problem document for a code. */
export function problem(code: ProblemCode, detail: string, extras: ProblemExtras = {}): Problem {
  const { status, title } = PROBLEMS[code];
  return { type: `urn:bootplane:problem:${code}`, title, status, detail, code, ...extras };
}
