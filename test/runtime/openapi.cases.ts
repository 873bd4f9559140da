import { expect, it } from 'vitest';
import { call, type Start } from './harness.ts';

// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document is walked as it comes
type Json = any;

/** Every `$ref` in a document. */
function references(value: Json): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === '$ref' ? [String(inner)] : references(inner)));
}

export function openApiCases(start: Start): void {
  it('OpenAPI 3.1 describes each route with its scope, request, answers and problems', async () => {
    const harness = await start();
    const { body } = await call(harness, 'GET /v1/openapi.json');
    expect([body.openapi, body.info.version]).toEqual(['3.1.0', '0.0.0-test']);
    for (const route of harness.supervisor.routes) {
      const operation: Json = body.paths[route.path]?.[route.method];
      expect(operation, `${route.method} ${route.path}`).toMatchObject({ 'x-scope': route.scope, summary: route.summary });
      const statuses = Object.keys(operation.responses);
      expect(statuses).toEqual(expect.arrayContaining([...Object.keys(route.answers), '500', '503']));
      if (route.scope !== 'open') expect(statuses).toEqual(expect.arrayContaining(['401', '403']));
      if (route.body !== undefined) expect(operation.requestBody.content['application/json'].schema).toBeDefined();
      for (const name of Object.keys(route.params?.shape ?? {})) {
        expect(operation.parameters).toContainEqual(expect.objectContaining({ name, in: 'path', required: true }));
      }
    }
    const known = new Set(Object.keys(body.components.schemas).map((name) => `#/components/schemas/${name}`));
    expect(references(body).filter((reference) => !known.has(reference))).toEqual([]);
    expect(known).toContain('#/components/schemas/Problem');
    const ids = Object.values(body.paths).flatMap((path: Json) => Object.values(path).map((operation: Json) => operation.operationId));
    expect(new Set(ids).size).toBe(ids.length);
    expect((await call(harness, 'GET /v1/openapi.json')).body).toEqual(body);
    await harness.close();
  });
}
