import {
  ClassPath,
  VectorBatch,
  VectorBody,
  VectorCount,
  VectorHits,
  VectorList,
  VectorListQuery,
  VectorObject,
  VectorPath,
  VectorSearch,
} from '../../contract/data.ts';
import type { VectorIndex } from '../../ports/vector-index.ts';
import { DOCUMENT_BYTES } from '../body.ts';
import { ProblemError } from '../problem.ts';
import { empty, json, type Route, route } from '../route.ts';
import { BACKEND_PROBLEMS } from './problems.ts';

/** The largest batch, bytes: some hundred objects with a vector of 384 numbers each. */
const BATCH_BYTES = 4 * DOCUMENT_BYTES;

export function vectorRoutes(vector: VectorIndex): Route[] {
  return [list(vector), upsert(vector), search(vector), count(vector), read(vector), write(vector), remove(vector)];
}

function list(vector: VectorIndex): Route {
  return route('service', {
    method: 'get',
    path: '/v1/vectors/{class}',
    tag: 'data',
    summary: 'The objects of a class, by id',
    params: ClassPath,
    query: VectorListQuery,
    answers: { 200: { description: 'The objects with their vectors.', schema: VectorList } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params, query: { after, limit } }) {
      const objects = await vector.list(params.class, { limit, ...(after === undefined ? {} : { after }) });
      const last = objects.length === limit ? objects.at(-1) : undefined;
      return json({ objects, ...(last === undefined ? {} : { next: last.id }) });
    },
  });
}

function upsert(vector: VectorIndex): Route {
  return route('service', {
    method: 'post',
    path: '/v1/vectors/{class}',
    tag: 'data',
    summary: 'Inserts or replaces objects by id; all or none, but on Weaviate, where one that breaks off may leave a part',
    params: ClassPath,
    body: VectorBatch,
    max_bytes: BATCH_BYTES,
    answers: { 204: { description: 'They are there.' } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params, body: { objects } }) {
      await vector.upsert(params.class, objects);
      return empty(204);
    },
  });
}

function search(vector: VectorIndex): Route {
  return route('service', {
    method: 'post',
    path: '/v1/vectors/{class}/search',
    tag: 'data',
    summary: 'The objects whose vectors are nearest, by cosine distance',
    params: ClassPath,
    body: VectorSearch,
    max_bytes: DOCUMENT_BYTES,
    answers: { 200: { description: 'Nearest first.', schema: VectorHits } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params, body: { where, ...query } }) {
      return json({ hits: await vector.search(params.class, { ...query, ...(where === undefined ? {} : { where }) }) });
    },
  });
}

function count(vector: VectorIndex): Route {
  return route('service', {
    method: 'post',
    path: '/v1/vectors/{class}/count',
    tag: 'data',
    summary: 'How many objects a class holds',
    params: ClassPath,
    answers: { 200: { description: 'The number.', schema: VectorCount } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params }) {
      return json({ count: await vector.count(params.class) });
    },
  });
}

function read(vector: VectorIndex): Route {
  return route('service', {
    method: 'get',
    path: '/v1/vectors/{class}/{id}',
    tag: 'data',
    summary: 'One object',
    params: VectorPath,
    answers: { 200: { description: 'The object.', schema: VectorObject } },
    problems: ['no_such_class', 'no_such_vector', ...BACKEND_PROBLEMS],
    async handle({ params }) {
      const found = await vector.get(params.class, params.id);
      if (found === undefined) throw new ProblemError('no_such_vector', `the class ${params.class} holds no object ${params.id}`);
      return json(found);
    },
  });
}

function write(vector: VectorIndex): Route {
  return route('service', {
    method: 'put',
    path: '/v1/vectors/{class}/{id}',
    tag: 'data',
    summary: 'Inserts or replaces one object',
    params: VectorPath,
    body: VectorBody,
    max_bytes: DOCUMENT_BYTES,
    answers: { 204: { description: 'It is there.' } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params, body }) {
      await vector.upsert(params.class, [{ id: params.id, ...body }]);
      return empty(204);
    },
  });
}

function remove(vector: VectorIndex): Route {
  return route('service', {
    method: 'delete',
    path: '/v1/vectors/{class}/{id}',
    tag: 'data',
    summary: 'Removes one object; one that is not there is no error',
    params: VectorPath,
    answers: { 204: { description: 'It is not there.' } },
    problems: ['no_such_class', ...BACKEND_PROBLEMS],
    async handle({ params }) {
      await vector.delete(params.class, params.id);
      return empty(204);
    },
  });
}
