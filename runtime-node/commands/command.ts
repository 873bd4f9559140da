import type { Command } from 'commander';
import type { Io } from './io.ts';

/** What a command module exports: how its flags look, and what it does. Resolves with the exit code. */
export type Define = (command: Command, run: Runner) => void;
/** Gives a command its action; a command that resolves with nothing exits with 0. */
export type Runner = (action: Action) => (...values: unknown[]) => Promise<void>;
export type Action = (io: Io, command: Command) => Promise<number | undefined> | Promise<void>;
