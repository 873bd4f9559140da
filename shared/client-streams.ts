import { reasonOf, UnreachableError } from './client-errors.ts';
import { EventRecord } from './contract/event.ts';
import { CurrentNews, GoodbyeNews, type News } from './contract/news.ts';

export interface ServerSentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/**
 * The lines of the event log as they come in; rejects with `UnreachableError` when the stream breaks.
 * What a newer version sends and this one does not know is passed over.
 */
export async function* readEvents(response: Response): AsyncGenerator<EventRecord> {
  if (response.body === null) return;
  try {
    for await (const { data } of readServerSentEvents(response.body)) {
      const record = EventRecord.safeParse(parseJson(data));
      if (record.success) yield record.data;
    }
  } catch (error) {
    throw new UnreachableError('broken_off', `the event stream broke off: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * The news of a site as they come in; rejects with `UnreachableError` when the stream breaks. `heard`
 * is called for whatever arrives, also for the comments that only say that the other side lives.
 */
export async function* readNews(response: Response, heard: () => void): AsyncGenerator<News> {
  if (response.body === null) return;
  const listened = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        heard();
        controller.enqueue(chunk);
      },
    }),
  );
  try {
    for await (const { event, data } of readServerSentEvents(listened)) {
      const news = toNews(event, parseJson(data));
      if (news !== undefined) yield news;
    }
  } catch (error) {
    throw new UnreachableError('broken_off', `the news stream broke off: ${reasonOf(error)}`, { cause: error });
  }
}

function toNews(event: string, data: unknown): News | undefined {
  if (event === 'current') {
    const current = CurrentNews.safeParse(data);
    return current.success ? { event, current: current.data } : undefined;
  }
  if (event !== 'goodbye') return undefined;
  const goodbye = GoodbyeNews.safeParse(data);
  return goodbye.success ? { event, goodbye: goodbye.data } : undefined;
}

/** Takes a stream of server-sent events apart (WHATWG HTML, section 9.2). An event that is cut off at the end is not given. */
export async function* readServerSentEvents(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<ServerSentEvent> {
  let id = '';
  let fields: { event?: string; data: string[] } = { data: [] };
  for await (const line of readLines(stream)) {
    const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (line === '') {
      if (fields.data.length > 0) yield { id, event: fields.event ?? 'message', data: fields.data.join('\n') };
      fields = { data: [] };
    } else if (name === 'data') fields.data.push(value);
    else if (name === 'event') fields.event = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
  }
}

/** Lines end with LF, CR LF or CR. What follows the last one is dropped. */
async function* readLines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      yield* lines;
    }
    if (rest.endsWith('\r')) yield rest.slice(0, -1);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Undefined for what is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
