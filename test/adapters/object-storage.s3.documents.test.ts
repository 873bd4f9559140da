import { describe, expect, test } from 'vitest';
import { mergeLifecycle, NO_RULES, plainRules, readLifecycle } from '../../runtime-node/adapters/storage-s3/lifecycle-document.ts';
import { hasTags, readTags, writeTags } from '../../runtime-node/adapters/storage-s3/tag-document.ts';
import { parseXml, textOf, XmlError } from '../../runtime-node/adapters/storage-s3/xml.ts';

const rule = (id: string, prefix = '', expire_days = 1) => ({ id, prefix, expire_days });

describe('XML', () => {
  test('reads elements, text, references and CDATA', () => {
    const root = parseXml(
      '\uFEFF \n<?xml version="1.0"?><!-- a --><s3:A x="1 > 0"><B>a &amp; &#233;&#x1F642;<![CDATA[<&>]]></B><C/></s3:A>\n',
    );
    expect(root.name).toBe('A');
    expect(textOf(root, 'B')).toBe('a & é🙂<&>');
    expect(root.children[1]?.raw).toBe('<C/>');
  });

  test.each([
    '',
    'plain text',
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<a>&x;</a',
    '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
    '<a/>after',
    '</a>',
    '<a'.repeat(10_000),
    '<a>'.repeat(100_000),
    '{"json": true}',
    '<!doctype html><html></html>',
  ])('refuses %#', (text) => {
    expect(() => parseXml(text)).toThrow(XmlError);
  });

  test('leaves references that it does not know as they are', () => {
    expect(parseXml('<a>&unknown; &#x110000; &constructor;</a>').text).toBe('&unknown; &#x110000; &constructor;');
  });
});

/** As Ceph gives it back: flat filters, an empty one outside of it, sorted; and an element that nobody here knows. */
const CEPH = `<?xml version="1.0" encoding="UTF-8"?><LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>all</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule><Rule><ID>tagged</ID><Filter><Prefix>logs/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></Filter><Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule> <!-- kept --><Rule><Filter/><Status>Enabled</Status><Later x="1"> of another year </Later></Rule></LifecycleConfiguration>`;

describe('lifecycle documents', () => {
  test('only rules of the plain kind are read as rules of a profile', () => {
    expect(plainRules(readLifecycle(CEPH))).toEqual([rule('all', '', 9)]);
  });

  test('a rule is put in its place and all else keeps every character', () => {
    const merged = mergeLifecycle(readLifecycle(CEPH), [rule('all', '', 30), rule('new & <odd>', 'a&b/', 5)], 'bucket') ?? '';
    const [head = '', tail = ''] = CEPH.split(
      '<Rule><ID>all</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>',
    );
    expect(merged.startsWith(head)).toBe(true);
    expect(merged).toContain(tail.replace('</LifecycleConfiguration>', ''));
    const again = readLifecycle(merged);
    expect(plainRules(again)).toEqual([rule('all', '', 30), rule('new & <odd>', 'a&b/', 5)]);
    expect(mergeLifecycle(again, [rule('all', '', 30)], 'bucket')).toBeUndefined();
  });

  test('without rules there is a new document', () => {
    expect(mergeLifecycle(NO_RULES, [], 'bucket')).toBeUndefined();
    expect(plainRules(readLifecycle(mergeLifecycle(NO_RULES, [rule('a', 'x/', 3), rule('a', 'x/', 4)], 'bucket') ?? ''))).toEqual([
      rule('a', 'x/', 4),
    ]);
  });

  test('beside rules of the old style ours are of it: the two do not mix', () => {
    const old =
      '<LifecycleConfiguration><Rule><ID>o</ID><Prefix>p/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>';
    expect(mergeLifecycle(readLifecycle(old), [rule('n', 'q/')], 'bucket')).not.toContain('Filter');
  });

  test.each([
    ['<Filter><Prefix>p</Prefix></Filter><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>', 'Transition'],
    ['<Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>', 'Tag'],
    ['<Filter><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></Filter>', 'ObjectSizeGreaterThan'],
    [
      '<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>',
      'NoncurrentVersionExpiration',
    ],
  ])('a rule of the same id that says more is refused: %#', (parts, word) => {
    const text = `<LifecycleConfiguration><Rule><ID>a</ID>${parts}<Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`;
    expect(plainRules(readLifecycle(text))).toEqual([]);
    expect(() => mergeLifecycle(readLifecycle(text), [rule('a')], 'bucket')).toThrow(word);
  });

  test('a date is no number of days; a rule that is off is not in force and can be turned on', () => {
    const text = (parts: string) => `<LifecycleConfiguration><Rule><ID>a</ID><Filter/>${parts}</Rule></LifecycleConfiguration>`;
    const dated = text('<Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>');
    expect(() => mergeLifecycle(readLifecycle(dated), [rule('a')], 'bucket')).toThrow('Date');
    const off = text(
      '<Status>Disabled</Status><Expiration><Days>1</Days><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>',
    );
    expect(plainRules(readLifecycle(off))).toEqual([]);
    expect(mergeLifecycle(readLifecycle(off), [rule('a')], 'bucket')).toContain('<Status>Enabled</Status>');
  });
});

test('tags of any text go there and back', () => {
  const tags = { 'a & <b>': '"c" \'d\'', __proto: '', é: '🙂 ' };
  expect(readTags(writeTags(tags))).toEqual(tags);
  expect(hasTags(tags, { é: '🙂 ' })).toBe(true);
  expect(hasTags(tags, { constructor: 'x' })).toBe(false);
});
