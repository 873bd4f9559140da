import * as z from 'zod';
import { Count } from './ids.ts';

/** The components that may have an external behind them. */
export const EnvironmentComponentName = z.enum(['storage', 'broker', 'vector']);
export type EnvironmentComponentName = z.infer<typeof EnvironmentComponentName>;

/**
 * How a component with an external stands. `present`: all goes there. `away`: it does not answer, and the embedded
 * default takes what is written. `forwarding`: it answers again, and what waited goes over.
 */
export const Presence = z.enum(['present', 'away', 'forwarding']);
export type Presence = z.infer<typeof Presence>;

/** Shown in health for each component with an external. */
export const BacklogStatus = z
  .object({
    presence: Presence,
    /** In words why it counts as away; or, where it answers, the error that keeps what waits from going over. */
    reason: z.string().optional(),
    waiting: Count,
    forwarded: Count,
    conflicts: Count,
  })
  .meta({ id: 'BacklogStatus' });
export type BacklogStatus = Readonly<z.infer<typeof BacklogStatus>>;
