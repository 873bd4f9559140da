/**
 * What may be recorded as the maker of a bucket or class: it has to fit into a tag of S3 and into the description of a class in
 * Weaviate, and to be found there again.
 */
export function isMaker(text: string): boolean {
  return /^[A-Za-z0-9._:/@+=-]{1,128}$/.test(text);
}
