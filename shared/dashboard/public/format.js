/** @typedef {'good' | 'warn' | 'bad' | 'quiet'} Tone */

const STEPS = /** @type {const} */ ([
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
]);

/**
 * How long ago, as `12 s`, `3 min`, `2 d`. What lies ahead by the clock of this machine is `0 s`.
 * @param {string} at RFC 3339
 * @param {number} now milliseconds
 */
export function ago(at, now) {
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  const step = STEPS.find(([size]) => seconds >= size);
  return step === undefined ? `${seconds} s` : `${Math.floor(seconds / step[0])} ${step[1]}`;
}

/** @param {string} hash */
export function short(hash) {
  return hash.slice(0, 12);
}

/**
 * `2 services`, `1 service`.
 * @param {number} count
 * @param {string} noun
 */
export function counted(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** @type {Readonly<Record<string, Tone>>} */
const TONES = {
  online: 'good',
  late: 'warn',
  lost: 'bad',
  left: 'quiet',
  running: 'good',
  starting: 'warn',
  unhealthy: 'bad',
  backoff: 'bad',
  failed: 'bad',
  stopping: 'warn',
  stopped: 'quiet',
  applied: 'good',
  unchanged: 'good',
  skipped: 'quiet',
  pending: 'warn',
  ok: 'good',
  degraded: 'warn',
};

/**
 * How a state of the API is coloured. Its word is always shown beside the colour.
 * @param {string} state
 * @returns {Tone}
 */
export function toneOf(state) {
  return TONES[state] ?? 'quiet';
}

/**
 * What happened, in one line.
 * @param {string} type
 * @param {Readonly<Record<string, unknown>>} data
 */
export function summary(type, data) {
  return type === 'overlay.bootstrap' ? reported(data) : fieldsOf(data);
}

/** @param {Readonly<Record<string, unknown>>} data a report of a node, as `BootstrapEvent` has it */
function reported({ component, action, status, message, duration_ms }) {
  const took = typeof duration_ms === 'number' ? ` (${Math.round(duration_ms)} ms)` : '';
  return `${component}: ${action}, ${status}${took}${message === undefined ? '' : `: ${message}`}`;
}

/** @param {Readonly<Record<string, unknown>>} data */
function fieldsOf(data) {
  const told = Object.entries(data).filter(([name, value]) => value !== undefined && !HIDDEN.has(name));
  return told.map(([name, value]) => `${name} ${wordOf(name, value)}`).join(' · ');
}

/** @param {string} name @param {unknown} value */
function wordOf(name, value) {
  if (name.endsWith('hash')) return short(String(value));
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Of use to programs only. */
const HIDDEN = new Set(['idempotency_key', 'instance_id', 'parent']);
