import { type Command, Option } from 'commander';
import { type Flags, readSettings, SETTINGS, type SettingName, type Settings } from '../config.ts';
import type { Io } from './io.ts';

/** What each command that talks to a node takes. */
export const CLIENT_SETTINGS: readonly SettingName[] = ['url', 'data_dir'];

/** What a node takes: every setting with a flag, but not where a client connects to. */
export const NODE_SETTINGS: readonly SettingName[] = SETTINGS.filter(({ flag, name }) => flag !== undefined && name !== 'url').map(
  ({ name }) => name,
);

/** Adds the flags of settings to a command, described with their variable and default. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  for (const option of optionsOf(names)) command.addOption(option.option);
  return command;
}

/** Reads the settings of a command line: flag, else environment, else default. */
export function settingsFrom(io: Io, command: Command): Settings {
  const values: Readonly<Record<string, unknown>> = command.opts();
  const flags: Flags = Object.fromEntries(
    optionsOf(SETTINGS.map(({ name }) => name)).flatMap(({ name, option }) => {
      const value = values[option.attributeName()];
      if (value === false) return [[name, 'off']];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
  return readSettings(io.env, flags, io.cwd);
}

function optionsOf(names: readonly SettingName[]): { name: SettingName; option: Option }[] {
  return SETTINGS.flatMap(({ name, flag, env, value, description, default: fallback }) => {
    if (flag === undefined || !names.includes(name)) return [];
    const negated = flag.startsWith('no-');
    const notes = negated ? `${env}=off` : `${env}${fallback ? `, ${fallback}` : ''}`;
    const text = negated ? `turns off ${description.replace(/^whether to /, 'to ')}` : description;
    return [{ name, option: new Option(negated ? `--${flag}` : `--${flag} <${value}>`, `${text} (${notes})`) }];
  });
}
