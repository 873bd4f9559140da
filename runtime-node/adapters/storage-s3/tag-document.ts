import { escapeXml, parseXml, textOf } from './xml.ts';

export type Tags = Readonly<Record<string, string>>;

export function readTags(text: string): Record<string, string> {
  const sets = parseXml(text).children.filter(({ name }) => name === 'TagSet');
  const tags = sets.flatMap(({ children }) => children).map((tag) => [textOf(tag, 'Key') ?? '', textOf(tag, 'Value') ?? ''] as const);
  return Object.fromEntries(tags.filter(([name]) => name !== ''));
}

/** All tags, in one order: the store sorts them as it likes. */
export function writeTags(tags: Tags): string {
  const list = Object.entries(tags).map(([name, value]) => `<Tag><Key>${escapeXml(name)}</Key><Value>${escapeXml(value)}</Value></Tag>`);
  return `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>${list.join('')}</TagSet></Tagging>`;
}

/** True when each of `wanted` is in `tags` with its value. */
export function hasTags(tags: Tags, wanted: Tags): boolean {
  return Object.entries(wanted).every(([name, value]) => Object.hasOwn(tags, name) && tags[name] === value);
}
