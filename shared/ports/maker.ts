/**
 * Why a text can't be recorded as the maker of a bucket or a class, for people; undefined where it can, and where there is none. It
 * has to fit into a tag of S3 and into the description of a class in Weaviate, and to be found there again.
 */
export function whyNoMaker(made_by: string | undefined): string | undefined {
  if (made_by === undefined || /^[A-Za-z0-9._:/@+=-]{1,128}$/.test(made_by)) return undefined;
  return `${JSON.stringify(made_by)} can't be recorded as a maker: it must be 1 to 128 of A-Z a-z 0-9 . _ : / @ + = -`;
}
