import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { processIo } from '../../runtime-node/cli.ts';
import { namePath } from '../../runtime-node/commands/document-changes.ts';
import { checkDocument } from '../../runtime-node/commands/document-check.ts';
import { readDocumentFile } from '../../runtime-node/commands/document-file.ts';
import { toPointer } from '../../shared/contract/pointer.ts';

function read(text: string) {
  async function* stdin() {
    yield text;
  }
  return readDocumentFile({ ...processIo(), cwd: '/folder', user: () => 'someone', stdin: stdin() }, '-');
}

type Path = (string | number)[];

/** Every path of a value that ends in a scalar. */
function scalarPaths(value: unknown, path: Path = []): { path: Path; scalar: unknown }[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => scalarPaths(item, [...path, index]));
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(([key, item]) => scalarPaths(item, [...path, key]));
  return [{ path, scalar: value }];
}

/** Scalars that tell themselves apart, so that a place can be checked by what stands there. */
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof({ maxDepth: 4 }, fc.nat(), tie('list'), tie('fields')),
  list: fc.array(tie('tree'), { maxLength: 4 }),
  fields: fc.dictionary(fc.stringMatching(/^[a-z~/ ]{1,6}$/), tie('tree'), { maxKeys: 4 }),
}));
const documents = fc.dictionary(fc.stringMatching(/^[a-z~/]{1,6}$/), tree, { minKeys: 1, maxKeys: 4 });

describe('places', () => {
  it.each([
    ['YAML', (value: unknown) => stringify(value)],
    ['JSON', (value: unknown) => JSON.stringify(value, undefined, 2)],
    ['JSON on one line', (value: unknown) => JSON.stringify(value)],
    ['JSON with tabs', (value: unknown) => JSON.stringify(value, undefined, '\t')],
  ])('of every scalar in %s are where it stands', async (_, write) => {
    await fc.assert(
      fc.asyncProperty(documents, async (document) => {
        const text = write(document);
        const file = await read(text);
        expect(file.body).toEqual(document);
        const lines = text.split('\n');
        for (const { path, scalar } of scalarPaths(document)) {
          const { line, column } = file.find(toPointer(path));
          expect(lines[line - 1]?.slice(column - 1)).toMatch(new RegExp(`^"?${scalar}\\b`));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('of what is missing are those of what it is missing from', async () => {
    const file = await read('services:\n  - name: a\n  - name: b\n    health:\n      tcp: x:1\n');
    expect(file.find('/services/1/version')).toEqual({ line: 3, column: 5 });
    expect(file.find('/services/1/health')).toEqual({ line: 4, column: 5 });
    expect(file.find('/services/1/health/http')).toEqual({ line: 4, column: 5 });
    expect(file.find('/services/7/name')).toEqual({ line: 1, column: 1 });
    expect(file.find('/nowhere/at/all')).toEqual({ line: 1, column: 1 });
    expect(file.find('')).toEqual({ line: 1, column: 1 });
  });

  it('count from behind a comment and a byte order mark', async () => {
    const file = await read('\uFEFF# a comment\n\nservices: []\n');
    expect(file.find('/services')).toEqual({ line: 3, column: 1 });
  });
});

describe('the variables of a document file', () => {
  it('are replaced in every text and in nothing else', async () => {
    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: as people write it
    const file = await read(
      '"${BOOTPLANE_FILE_DIR}": ["${BOOTPLANE_FILE_DIR}/a:${BOOTPLANE_FILE_DIR}/b", 1, null, {x: "$BOOTPLANE_FILE_DIR ${HOME} ${BOOTPLANE_USER}"}]',
    );
    expect(file.body).toEqual({
      '${BOOTPLANE_FILE_DIR}': ['/folder/a:/folder/b', 1, null, { x: '$BOOTPLANE_FILE_DIR ${HOME} someone' }],
    });
    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: as people write it
  });
});

describe('a key that could reach into an object', () => {
  it('is data like any other', async () => {
    const file = await read('{"__proto__": {"polluted": true}, "services": []}');
    expect(Object.keys(file.body)).toContain('services');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(checkDocument('plan', file.body)).not.toEqual([]);
  });
});

describe('checks', () => {
  const service = { name: 'api', version: '1', command: ['x'] };

  it('find nothing in what is right', () => {
    expect(checkDocument('plan', { services: [service] })).toEqual([]);
    expect(checkDocument('profile', {})).toEqual([]);
  });

  it.each([
    [{}, '/services', 'is missing (array)'],
    [{ services: [service, service] }, '/services/1/name', 'two services are named api'],
    [{ services: [{ ...service, env: { 'A B': '1' } }] }, '/services/0/env/A B', ''],
    [{ services: [{ ...service, health: {} }] }, '/services/0/health', 'exactly one of http, tcp and command'],
    [{ services: [{ ...service, placement: { cout: 1 } }] }, '/services/0/placement/cout', 'is not known here'],
    [{ services: [], hash: 'x' }, '/hash', 'is added by publishing'],
  ])('find %j', (body, pointer, detail) => {
    expect(checkDocument('plan', body)).toEqual([{ pointer, detail: expect.stringContaining(detail) }]);
  });
});

describe('names for people', () => {
  const document = { services: [{ name: 'api', version: '1' }, { id: 'rule' }, { other: 1 }, 'text'], 'a/b': { '~c': 1 } };

  it.each([
    ['', '(the whole document)'],
    ['/services', 'services'],
    ['/services/0', 'services/api'],
    ['/services/0/version', 'services/api/version'],
    ['/services/1', 'services/rule'],
    ['/services/2/other', 'services/2/other'],
    ['/services/3', 'services/3'],
    ['/services/9/gone', 'services/9/gone'],
    ['/a~1b/~0c', 'a/b/~c'],
  ])('%s is %s', (pointer, name) => {
    expect(namePath(pointer, document)).toBe(name);
  });
});
