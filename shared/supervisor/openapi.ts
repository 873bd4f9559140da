import { OpenAPIHono } from '@hono/zod-openapi';
import { PROBLEM_JSON, PROBLEMS, Problem, type ProblemCode } from '../contract/problem.ts';
import { type Answer, openApiPath, type Route } from './route.ts';

type PathConfig = Parameters<OpenAPIHono['openAPIRegistry']['registerPath']>[0];
type Responses = PathConfig['responses'];

const SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'The fleet key, the credential of a node, or the token of a service.' },
  api_key: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same, for tools that send no Authorization header.' },
} as const;

const OCTETS = { type: 'string', format: 'binary' } as const;

/** The OpenAPI 3.1 document of these routes. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const app = new OpenAPIHono();
  for (const [name, scheme] of Object.entries(SCHEMES)) app.openAPIRegistry.registerComponent('securitySchemes', name, scheme);
  for (const route of routes) app.openAPIRegistry.registerPath(toPath(route));
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'bootplane',
      version,
      description: 'Registry, leadership, desired documents, status and events of a fleet. Errors are problem documents (RFC 9457).',
      license: { name: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
  });
}

function toPath(route: Route): PathConfig {
  const { method, path, tag, summary, params, query, headers, body, upload, scope } = route;
  const credentials = [{ bearer: [] }, { api_key: [] }];
  return {
    method,
    path: openApiPath(path),
    tags: [tag],
    summary,
    operationId: `${method}_${path.replaceAll(/[^A-Za-z0-9]+/g, '_').replaceAll(/^_|_$/g, '')}`,
    security: scope === 'open' ? [{}, ...credentials] : credentials,
    'x-scope': scope,
    request: {
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { query }),
      ...(headers === undefined ? {} : { headers }),
      ...(body === undefined ? {} : { body: { required: true, content: { 'application/json': { schema: body } } } }),
      ...(upload === undefined ? {} : { body: { required: true, content: { [upload.content_type]: { schema: OCTETS } } } }),
    },
    responses: { ...answersOf(route), ...problemsOf(route) },
  };
}

function answersOf({ answers }: Route): Responses {
  return Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, toResponse(answer)]));
}

function toResponse({ description, schema, content_type = 'application/json' }: Answer): Responses[string] {
  return schema === undefined ? { description } : { description, content: { [content_type]: { schema } } };
}

/** One answer for each status, that names the codes behind it. */
function problemsOf(route: Route): Responses {
  const byStatus = Map.groupBy(problemCodes(route), (code) => PROBLEMS[code].status);
  const entries = Array.from(byStatus, ([status, codes]) => [
    String(status),
    {
      description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
      content: { [PROBLEM_JSON]: { schema: Problem } },
    },
  ]);
  return Object.fromEntries(entries);
}

/** What a route may answer with by its shape, and what it says of itself. */
function problemCodes(route: Route): Set<ProblemCode> {
  const { scope, params, query, body, problems = [] } = route;
  return new Set<ProblemCode>([
    ...(params === undefined && query === undefined ? [] : (['invalid_parameter'] as const)),
    ...(body === undefined ? [] : (['malformed_json', 'invalid_body', 'too_large', 'unsupported_media_type'] as const)),
    ...(scope === 'open' ? [] : (['unauthenticated', 'forbidden'] as const)),
    ...problems,
    'internal',
    'unavailable',
    'storage_full',
  ]);
}
