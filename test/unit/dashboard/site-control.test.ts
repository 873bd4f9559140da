import { describe, expect, it } from 'vitest';
import { Id } from '../../../shared/contract/ids.ts';
import { SITE } from '../../../shared/dashboard/public/site-control.js';

describe('the name of a site, as the page takes it', () => {
  it.each(['a', 'shop-1', 'Shop_1.eu', '0', 'x'.repeat(128), '', '-a', '.a', 'a b', 'ä', 'a/b', 'a\n', 'x'.repeat(129)])(
    'is good or not as the contract says: %j',
    (name) => {
      // As a browser reads the pattern of a field.
      expect(new RegExp(`^(?:${SITE})$`, 'v').test(name)).toBe(Id.safeParse(name).success);
    },
  );
});
