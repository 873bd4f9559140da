/** One element of an XML document. `raw` is its exact text, so that what nobody here understands can be handed back as it came. */
export interface XmlElement {
  /** Without a namespace prefix. */
  readonly name: string;
  /** Its own character data, references resolved, untrimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
  /** From `<` of the start tag to `>` of the end tag. */
  readonly raw: string;
  /** Where `raw` begins in the document. */
  readonly start: number;
}

/** The text is no XML document, or not one of the plain kind that S3 servers send. */
export class XmlError extends Error {}

const MAX_DEPTH = 64;
const TOKEN = /<!\[CDATA\[([\s\S]*?)\]\]>|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)([^\s/>!?]+)((?:"[^"]*"|'[^']*'|[^"'>])*?)(\/?)>/y;

interface Open {
  readonly name: string;
  readonly start: number;
  readonly children: XmlElement[];
  text: string;
}

/**
 * Reads what S3 servers send: elements, text, CDATA, comments, character references. No document types, so
 * no entities of the document's own. Why not the parser of a library: those give values, and a lifecycle rule that is written
 * back from values has lost whatever its reader did not know.
 */
export function parseXml(document: string): XmlElement {
  const stack: Open[] = [];
  let root: XmlElement | undefined;
  const close = (open: Open, end: number) => {
    const { name, start, text, children } = open;
    const element = { name, text, children, start, raw: document.slice(start, end) };
    const parent = stack.at(-1);
    if (parent !== undefined) parent.children.push(element);
    else if (root === undefined) root = element;
    else throw new XmlError('more than one root element');
  };
  for (let at = 0; at < document.length; ) {
    if (document[at] !== '<') {
      const next = document.indexOf('<', at);
      addText(stack.at(-1), document.slice(at, next === -1 ? document.length : next));
      at = next === -1 ? document.length : next;
      continue;
    }
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(document);
    if (token === null) throw new XmlError(`no XML at character ${at}`);
    const [whole, cdata, slash, name, , empty] = token;
    const end = at + whole.length;
    if (cdata !== undefined) addRaw(stack.at(-1), cdata);
    else if (name !== undefined && slash === '/') closeNamed(stack.pop(), name, (open) => close(open, end));
    else if (name !== undefined) {
      if (stack.length >= MAX_DEPTH) throw new XmlError(`nested deeper than ${MAX_DEPTH}`);
      const open: Open = { name: localName(name), start: at, children: [], text: '' };
      if (empty === '/') close(open, end);
      else stack.push(open);
    }
    at = end;
  }
  if (root === undefined || stack.length > 0) throw new XmlError('the document ends early');
  return root;
}

function closeNamed(open: Open | undefined, name: string, close: (open: Open) => void): void {
  if (open?.name !== localName(name)) throw new XmlError(`</${name}> closes nothing`);
  close(open);
}

function addText(open: Open | undefined, text: string): void {
  if (open !== undefined) open.text += resolve(text);
  else if (text.replace(/^\uFEFF/, '').trim() !== '') throw new XmlError('text outside of the root element');
}

function addRaw(open: Open | undefined, text: string): void {
  if (open === undefined) throw new XmlError('text outside of the root element');
  open.text += text;
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function resolve(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(\w+));/g, (reference, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return Object.hasOwn(NAMED, name) ? (NAMED[name] ?? reference) : reference;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : reference;
  });
}

/** The first child of that name. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((one) => one.name === name);
}

/** The text of the first child of that name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return child(element, name)?.text;
}

/** Text as element content. Control characters that XML 1.0 does not know are written as references: most servers take them. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\r]|[^\P{Cc}\t\n\r]/gu, (one) => {
    const name = Object.keys(NAMED).find((key) => NAMED[key] === one);
    return name === undefined ? `&#${one.codePointAt(0)};` : `&${name};`;
  });
}
