import { describe, expect, it } from 'vitest';
import { followedUrl } from '../../runtime-node/followed.ts';

const CLOUD = 'https://cloud.example';
const OLD_OWN = 'http://10.0.0.7:7420';

describe('the Supervisor that a node follows', () => {
  it('is no other one while the node leads by its own, whatever address that was told under', () => {
    expect(followedUrl({ source: 'self', control_plane_url: OLD_OWN }, CLOUD)).toBeUndefined();
  });

  it('is the one that was found', () => {
    expect(followedUrl({ source: 'cloud', control_plane_url: 'https://other.example' }, CLOUD)).toBe('https://other.example');
  });

  it.each([undefined, 'cache'] as const)('is the configured cloud only, while none is found (source %s)', (source) => {
    const state = (control_plane_url: string) => ({ control_plane_url, ...(source === undefined ? {} : { source }) });
    expect(followedUrl(state(OLD_OWN), CLOUD)).toBeUndefined();
    expect(followedUrl(state(OLD_OWN), undefined)).toBeUndefined();
    expect(followedUrl(state(`${CLOUD}/`), CLOUD)).toBe(`${CLOUD}/`);
  });

  it('is unknown to a node that was never told', () => {
    expect(followedUrl({}, CLOUD)).toBeUndefined();
  });
});
