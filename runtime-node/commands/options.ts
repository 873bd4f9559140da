import { type Command, Option } from 'commander';
import { type Flags, readSettings, SETTINGS, type SettingInfo, type SettingName, type Settings } from '../config.ts';
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

/** Those of the settings that stand on the command line, as a shell reads them. */
export function flagsGiven(command: Command, names: readonly SettingName[]): string[] {
  return optionsOf(names).flatMap(({ option }) => {
    const name = option.attributeName();
    if (command.getOptionValueSource(name) !== 'cli') return [];
    const value: unknown = command.getOptionValue(name);
    return [typeof value === 'string' ? `${option.long} ${quote(value)}` : `${option.long}`];
  });
}

/** A word of a command line, for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The settings that are read from the environment only, for the help of `up`. */
export function environmentHelp(): string {
  const rows = SETTINGS.filter(({ flag }) => flag === undefined).map(({ env, description }) => `  ${env.padEnd(27)}${description}`);
  return `Only in the environment:\n${rows.join('\n')}`;
}

function optionsOf(names: readonly SettingName[]): { name: SettingName; option: Option }[] {
  return SETTINGS.flatMap((info) => {
    if (info.flag === undefined || !names.includes(info.name)) return [];
    return [{ name: info.name, option: info.negation === undefined ? plainOption(info) : negatedOption(info) }];
  });
}

function plainOption({ flag, value, description, env, default: fallback }: SettingInfo): Option {
  return new Option(`--${flag} <${value}>`, `${description} (${env}${fallback ? `, ${fallback}` : ''})`);
}

function negatedOption({ flag, negation, env }: SettingInfo): Option {
  return new Option(`--${flag}`, `${negation} (${env}=off)`);
}
