import { createHash } from 'node:crypto';
import { access, chmod, chown, constants, mkdir, realpath, stat } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { ProcessError } from '../../shared/ports/process-host.ts';
import { type Account, findAccount, findClosed } from './child-process-account.ts';

export interface ServicePlaceOptions {
  /** Services work in `<data_dir>/services/<name>`. */
  readonly data_dir: string;
  /** Who runs services for which the plan names no user, when bootplane runs as root. Default `nobody`. */
  readonly default_user?: string;
  /** Where services work when their user can't enter the data directory (root only). Default `/var/lib/bootplane`. */
  readonly fallback_dir?: string;
}

export interface PlaceRequest {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
}

/** Everything that a spawn needs, checked beforehand. */
export interface Place {
  /** Absolute path of the program. */
  readonly program: string;
  readonly args: string[];
  /** For `spawn`: program name as the plan wrote it, folder, whole environment, and, as root, the user. */
  readonly options: { argv0: string; cwd: string; env: Record<string, string>; uid?: number; gid?: number };
}

const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * Finds user, folder and program for a command of a service. Rejects with `ProcessError` and says
 * what to set when the user can't enter the folder or run the program, since after a spawn that is
 * only an exit code.
 */
export async function placeCommand(options: ServicePlaceOptions, request: PlaceRequest): Promise<Place> {
  const account = await chooseAccount(options, request);
  const cwd = request.cwd ?? (await ownFolder(options, request.name, account));
  const env = { ...baseEnvironment(cwd), ...request.env };
  const [word = '', ...args] = request.command;
  await checkFolder(request, cwd, account);
  const program = await findProgram(request, word, { cwd, path: env.PATH ?? '' }, account);
  const rights = account === undefined ? {} : { uid: account.uid, gid: account.gid };
  return { program, args, options: { argv0: word, cwd, env, ...rights } };
}

/** Undefined when bootplane is not root: then everything runs as the user that it runs as itself. */
async function chooseAccount({ default_user = 'nobody' }: ServicePlaceOptions, request: PlaceRequest): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const name = request.user ?? default_user;
  const account = await findAccount(name);
  if (account !== undefined) return account;
  throw new ProcessError(
    'no_such_user',
    `service ${request.name} should run as user ${name}, whom this machine does not know: make the user, or set "user" of the service in the plan to one that exists`,
  );
}

/** What every program expects to find. The folder of the running Node comes first, so that `node` is the one of bootplane. */
function baseEnvironment(home: string): Record<string, string> {
  const { LANG = 'C.UTF-8', TZ } = process.env;
  const path = [dirname(process.execPath), ...SYSTEM_PATH].join(delimiter);
  return { PATH: path, HOME: home, LANG, ...(TZ !== undefined && { TZ }) };
}

async function ownFolder(options: ServicePlaceOptions, name: string, account: Account | undefined): Promise<string> {
  const services = resolve(options.data_dir, 'services');
  await mkdir(services, { recursive: true, mode: 0o711 });
  if (account === undefined) return makeFolder(join(services, name));
  await chmod(services, 0o711);
  if ((await findClosed(account, services, ['execute'])) === undefined) return makeFolder(join(services, name), account);
  const node = createHash('sha256')
    .update(await realpath(options.data_dir))
    .digest('hex')
    .slice(0, 12);
  const parent = join(options.fallback_dir ?? '/var/lib/bootplane', node);
  await mkdir(parent, { recursive: true, mode: 0o755 });
  return makeFolder(join(parent, name), account);
}

async function makeFolder(folder: string, account?: Account): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o750 });
  if (account !== undefined) await chown(folder, account.uid, account.gid);
  return folder;
}

async function checkFolder({ name }: PlaceRequest, cwd: string, account: Account | undefined): Promise<void> {
  const entry = await stat(cwd).catch(() => undefined);
  if (entry?.isDirectory() !== true) throw new ProcessError('not_found', `the folder ${cwd} of service ${name} is not there`);
  const closed = account === undefined ? undefined : await findClosed(account, cwd, ['execute']);
  if (account !== undefined && closed !== undefined) throw closedError(name, account, cwd, closed);
}

async function findProgram(
  { name }: PlaceRequest,
  word: string,
  { cwd, path }: { cwd: string; path: string },
  account: Account | undefined,
): Promise<string> {
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  const candidates = word.includes('/') ? [resolve(cwd, word)] : folders.filter(isAbsolute).map((folder) => join(folder, word));
  let refusal: ProcessError | undefined;
  for (const candidate of candidates) {
    const entry = await stat(candidate).catch(() => undefined);
    if (entry?.isFile() !== true) continue;
    const closed = await findBarrier(candidate, account);
    if (closed === undefined) return candidate;
    refusal ??= closedError(name, account, candidate, closed);
  }
  if (refusal !== undefined) throw refusal;
  const where = word.includes('/') ? `there is no file ${candidates[0]}` : `no folder of PATH (${path}) has it`;
  throw new ProcessError('not_found', `the program ${word} of service ${name} is not there: ${where}`);
}

async function findBarrier(file: string, account: Account | undefined): Promise<string | undefined> {
  if (account !== undefined) return findClosed(account, file, ['execute']);
  return access(file, constants.X_OK).then(
    () => undefined,
    () => file,
  );
}

function closedError(service: string, account: Account | undefined, path: string, closed: string): ProcessError {
  const user = account?.name ?? 'the user that runs bootplane';
  const where = closed === path ? 'its mode does not allow it' : `${closed} is closed to that user`;
  const advice =
    account === undefined
      ? `make it executable (chmod +x ${path})`
      : 'set "user" of the service in the plan to a user that may, or keep it in a folder that all may enter';
  return new ProcessError('not_permitted', `service ${service} can't run as ${user}: ${path} can't be used, ${where}; ${advice}`);
}
