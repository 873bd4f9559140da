import * as z from 'zod';
import { fleetOfKey, MIN_FLEET_KEY_LENGTH } from './fleet-keys.ts';
import { Id, Timestamp } from './ids.ts';

/** Names the fleet that an admin acts in. */
export const FLEET_HEADER = 'Bootplane-Fleet';

/** Printable ASCII, as a header can carry it. */
const FleetKey = z
  .string()
  .min(MIN_FLEET_KEY_LENGTH)
  .max(512)
  .regex(/^[\x21-\x7e]+$/, 'must hold no blanks and only printable ASCII');

/** Why a text can't be the key of a fleet, in words that go on from its name; undefined when it can. Never holds the text. */
export function whyNotOfFleet(fleet: string, key: string): string | undefined {
  const isOther = /^bp[a-z]~/.test(key) && fleetOfKey(key) !== fleet;
  return isOther ? `has the form of a credential of another kind or fleet: a key that names its fleet is bpk~${fleet}~…` : undefined;
}

/** As an admin sends it: an unknown field is an error. */
export const CreateFleetRequest = z
  .strictObject({
    fleet: Id,
    /** The key of a fleet that has one already, as on its nodes. Absent: one is made. */
    key: FleetKey.optional(),
  })
  .superRefine(({ fleet, key }, context) => {
    const wrong = key === undefined ? undefined : whyNotOfFleet(fleet, key);
    if (wrong !== undefined) context.addIssue({ code: 'custom', path: ['key'], message: wrong });
  })
  .meta({ id: 'CreateFleetRequest' });
export type CreateFleetRequest = z.infer<typeof CreateFleetRequest>;

export const FleetRecord = z
  .object({
    fleet: Id,
    created_at: Timestamp,
    /** Of the key that signs documents now. */
    key_id: z.string(),
    rotated_at: Timestamp.optional(),
    /** Until then the fleet key of before holds too. */
    replaces_until: Timestamp.optional(),
    /** From then on no credential of the fleet holds. Its rows stay. */
    closed_at: Timestamp.optional(),
  })
  .meta({ id: 'FleetRecord' });
export type FleetRecord = z.infer<typeof FleetRecord>;

export const FleetList = z.object({ fleets: z.array(FleetRecord), next: z.string().optional() }).meta({ id: 'FleetList' });
export type FleetList = z.infer<typeof FleetList>;

/** `key` is there when it was made here: it is shown this once. */
export const CreatedFleet = FleetRecord.extend({ key: z.string().optional() }).meta({ id: 'CreatedFleet' });
export type CreatedFleet = z.infer<typeof CreatedFleet>;

/** The old fleet key holds for a week beside the new one, when nothing else is said. */
export const OVERLAP_SECONDS = 7 * 86_400;

export const RotateFleetRequest = z
  .strictObject({
    /** Absent: one is made. */
    key: FleetKey.optional(),
    /** How long the old key holds beside the new one; 0 for one that others have seen. */
    overlap_seconds: z
      .number()
      .int()
      .min(0)
      .max(90 * 86_400)
      .default(OVERLAP_SECONDS),
    /** Also while an overlap is under way: the key before the old one ends at once. */
    force: z.boolean().default(false),
  })
  .meta({ id: 'RotateFleetRequest' });
export type RotateFleetRequest = z.input<typeof RotateFleetRequest>;
