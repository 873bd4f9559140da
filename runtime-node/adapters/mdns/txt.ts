import { type Advert, LanError } from '../../../shared/ports/lan.ts';

/** One string of a TXT record has 255 bytes at most (RFC 1035). */
const MAX_STRING = 255;
const VERSION = '1';

/** The TXT record of an advert: `key=value` strings (RFC 6763, section 6), `txtvers` first. Throws `LanError` for what does not fit. */
export function toTxt({ fleet, site, node_id, epoch, url, signature }: Advert): Buffer[] {
  const fields = { txtvers: VERSION, fleet, site, node_id, epoch: String(epoch), url, sig: signature };
  return Object.entries(fields).map(([key, value]) => {
    const bytes = Buffer.from(`${key}=${value}`);
    if (bytes.length > MAX_STRING) throw new LanError(`the ${key} has ${bytes.length} bytes; ${MAX_STRING} fit into an advert`);
    return bytes;
  });
}

/** Undefined for whatever is no advert of a version that this program knows. Nothing is verified. */
export function fromTxt(data: unknown): Advert | undefined {
  const fields = readFields(Array.isArray(data) ? data : [data]);
  const [fleet, site, node_id] = [fields.get('fleet'), fields.get('site'), fields.get('node_id')];
  const [url, signature, epoch] = [fields.get('url'), fields.get('sig'), toEpoch(fields.get('epoch'))];
  if (fields.get('txtvers') !== VERSION || epoch === undefined) return undefined;
  if (!fleet || !site || !node_id || !url || !signature) return undefined;
  return { fleet, site, node_id, epoch, url, signature };
}

/** Keys are compared without regard to case, and the first of two counts (RFC 6763, section 6.4). */
function readFields(strings: readonly unknown[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const one of strings) {
    const text = Buffer.isBuffer(one) ? one.toString('utf8') : String(one);
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (key !== undefined && value !== undefined && !fields.has(key.toLowerCase())) fields.set(key.toLowerCase(), value);
  }
  return fields;
}

function toEpoch(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const epoch = Number(text);
  return Number.isSafeInteger(epoch) ? epoch : undefined;
}
