import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidArgumentError } from 'commander';
import { type Client, readEvents, UnreachableError } from '../../shared/client.ts';
import { type EventRecord, MAX_LAST_EVENTS } from '../../shared/contract/event.ts';
import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { wholeNumber } from './document.ts';
import { colorState, formatValue, oneLine } from './format.ts';
import { colorsFor, type Io } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane events                  the last 50
  bootplane events -f               and then what happens from now on, until Ctrl-C
  bootplane events -n 0 -f --json   one JSON document per line`;

/** A stream ends within a minute on Workers; the next one resumes after the last event. */
const RECONNECT_AFTER_MS = 1_000;
/** A node that was seen and is away for longer than this many tries is given up. */
const GIVE_UP_AFTER_TRIES = 60;

interface EventFlags {
  readonly follow?: boolean;
  readonly lines: number;
  readonly after?: string;
  readonly json?: boolean;
}

export const define: Define = (command, run) => {
  addSettings(command, CLIENT_SETTINGS)
    .option('-f, --follow', 'go on with what happens')
    .option('-n, --lines <N>', 'how many of the past', wholeNumber, 50)
    .option('--after <CURSOR>', 'only what came after this event', cursor)
    .option('--json', 'one event per line, as on the wire')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const flags = command.opts<EventFlags>();
        const client = await connect(io, settingsFrom(io, command));
        const past = await readPast(client, flags);
        for (const event of past.shown) printEvent(io, event, flags.json === true);
        if (flags.follow === true) await follow(io, client, past.cursor, flags.json === true);
      }),
    );
};

function cursor(text: string): string {
  if (/^\d{1,15}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be the cursor of an event, a whole number as --json prints it.');
}

/** What is asked for with `last` comes at once; more than that, and what an older Supervisor gives instead, is read through from its beginning. */
async function readPast(client: Client, flags: EventFlags): Promise<{ shown: EventRecord[]; cursor: string | undefined }> {
  const last = Math.max(1, flags.lines);
  let cursor = flags.after;
  let shown: EventRecord[] = [];
  for (;;) {
    const first = last <= MAX_LAST_EVENTS ? { last } : {};
    const { body } = await client.events(cursor === undefined ? first : { after: cursor });
    shown = [...shown, ...body.events].slice(-last);
    const newest = body.events.at(-1)?.cursor;
    if (newest !== undefined) cursor = newest;
    if (body.next === undefined || newest === undefined) break;
  }
  return { shown: flags.lines === 0 ? [] : shown, cursor };
}

async function follow(io: Io, client: Client, start: string | undefined, json: boolean): Promise<void> {
  let cursor = start;
  let failures = 0;
  while (!io.signal.aborted) {
    try {
      for await (const event of readEvents(await client.eventStream(cursor, io.signal))) {
        cursor = event.cursor;
        failures = 0;
        printEvent(io, event, json);
      }
    } catch (error) {
      if (io.signal.aborted) return;
      if (!(error instanceof UnreachableError) || failures >= GIVE_UP_AFTER_TRIES) throw error;
      if (failures === 0) io.stderr.write(`${error.message}; trying again\n`);
      failures += 1;
    }
    await sleep(RECONNECT_AFTER_MS, undefined, { signal: io.signal }).catch(() => undefined);
  }
}

function printEvent(io: Io, event: EventRecord, json: boolean): void {
  io.stdout.write(`${json ? JSON.stringify(event) : formatEvent(io, event)}\n`);
}

/** Fields of an event that are said in words; what is left follows as name=value. */
const SAID = new Set(['node_id', 'component', 'action', 'status', 'message']);
/** Left out: they say nothing to a person. */
const UNSAID = new Set(['hash', 'parent', 'idempotency_key', 'incompatible']);

function formatEvent(io: Io, { at, type, node_id, data }: EventRecord): string {
  const colors = colorsFor(io);
  const text = (name: string) => (typeof data[name] === 'string' ? [oneLine(data[name])] : []);
  const rest = Object.entries(data).flatMap(([name, value]) =>
    SAID.has(name) || UNSAID.has(name) ? [] : [colors.dim(`${oneLine(name)}=${formatField(value)}`)],
  );
  return [
    colors.dim(at),
    type.padEnd(17),
    node_id ?? '-',
    ...text('component'),
    ...text('action'),
    ...text('status').map((status) => colorState(colors, status)),
    ...text('message'),
    ...rest,
  ].join('  ');
}

function formatField(value: unknown): string {
  if (typeof value === 'string') return oneLine(value);
  return formatValue(typeof value === 'number' ? Math.round(value) : value);
}
