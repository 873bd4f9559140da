/** `<epoch>/<leader node_id>`: the fencing token. */
export const EPOCH_HEADER = 'Bootplane-Epoch';
/** `plan=<generation>, profile=<generation>`: what is current; a document that is not published is left out. */
export const DESIRED_HEADER = 'Bootplane-Desired';
/** Whole seconds since the answer was true: it comes from a node that knows no leader now, out of what it keeps. */
export const STALE_HEADER = 'Bootplane-Stale';

export interface FencingToken {
  readonly epoch: number;
  readonly node_id: string;
}

export function formatToken({ epoch, node_id }: FencingToken): string {
  return `${epoch}/${node_id}`;
}

/** Undefined for a text that is no token. */
export function parseToken(text: string): FencingToken | undefined {
  const match = /^(\d{1,15})\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/.exec(text);
  return match?.[2] === undefined ? undefined : { epoch: Number(match[1]), node_id: match[2] };
}

export function formatDesired(generations: { plan?: number | undefined; profile?: number | undefined }): string {
  return Object.entries(generations)
    .filter(([, generation]) => generation !== undefined)
    .map(([kind, generation]) => `${kind}=${generation}`)
    .join(', ');
}

export function parseDesired(text: string): { plan?: number; profile?: number } {
  const plan = /(?:^|,\s*)plan=(\d{1,15})(?=,|$)/.exec(text)?.[1];
  const profile = /(?:^|,\s*)profile=(\d{1,15})(?=,|$)/.exec(text)?.[1];
  return { ...(plan === undefined ? {} : { plan: Number(plan) }), ...(profile === undefined ? {} : { profile: Number(profile) }) };
}
