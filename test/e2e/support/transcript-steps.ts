import type { Step } from './transcript.ts';

const JSON_BODY = ['-H', 'Content-Type: application/json'];
const AS_OPERATOR = ['-H', 'Authorization: Bearer $KEY'];
const AS_NODE = ['-H', 'Authorization: Bearer $NODE_KEY'];
const post = (path: string, body: unknown, who = AS_NODE, ...more: string[]) => [
  `$URL${path}`,
  ...who,
  ...JSON_BODY,
  ...more,
  '-d',
  typeof body === 'string' ? body : JSON.stringify(body),
];
const put = (path: string, body: unknown, ...more: string[]) => ['-X', 'PUT', ...post(path, body, AS_OPERATOR, ...more)];
const get = (path: string, ...more: string[]) => [`$URL${path}`, ...AS_OPERATOR, ...more];

const NODE = { node_id: 'node-1', capabilities: ['camera'], host: 'edge-1', ip: '192.0.2.7', versions: { bootplane: '0.1.0' } };
const CAMERA = { id: 'camera-1', kind: 'camera', labels: { door: 'front' } };
const NEWS = ['-H', 'Accept: text/event-stream', '--max-time', '1', '--no-buffer'];
/** Of the text `an artifact`. */
const ARTIFACT = '/v1/artifacts/326086a5d542fbb3f783c4d9182b3188caecd714d02d6c10cbdea982e2bfc409';
const MISSING_ARTIFACT = `/v1/artifacts/${'c'.repeat(64)}`;
const HEARTBEAT = {
  node_id: 'node-1',
  role: 'leader',
  services_running: [{ name: 'hello', version: '1.0.0', state: 'running' }],
  versions: { bootplane: '0.1.0' },
};
const PLAN = { ttl_seconds: 60, services: [{ name: 'hello', version: '1.0.0', command: ['node', 'server.js'], placement: { count: 1 } }] };
const PROFILE = { storage: { buckets: [{ name: 'captures', versioning: true }] }, vector: { classes: [{ name: 'Frame', dimensions: 3 }] } };
/** What the other side of a cut network published as generation 1; `$OFFER` holds it, signed. */
export const OFFERED_PLAN = { services: [{ name: 'hello', version: '2.0.0', command: ['node', 'server.js'] }] };
const EVENT = {
  node_id: 'node-1',
  component: 'storage',
  action: 'reconcile',
  status: 'applied',
  generation: 1,
  hash: 'a'.repeat(64),
  idempotency_key: 'b'.repeat(64),
  attempt: 1,
  duration_ms: 12,
};

/** Every call that this version has, good and bad, in an order in which each one has something to say. */
export const STEPS: readonly Step[] = [
  { title: 'Health without a credential', args: ['$URL/healthz'] },
  { title: 'Ready', args: ['$URL/readyz'] },
  { title: 'No credential', args: ['$URL/v1/nodes'] },
  { title: 'A wrong credential', args: ['$URL/v1/nodes', '-H', 'Authorization: Bearer wrong'] },
  { title: 'Nobody leads yet', args: get('/v1/leader') },
  { title: 'A plan for a node that nobody knows', args: post('/v1/nodes/plan', { node_id: 'node-1' }) },
  { title: 'Register', args: post('/v1/nodes/register', { ...NODE, devices: [CAMERA] }) },
  { title: 'Register as another node', args: post('/v1/nodes/register', { ...NODE, node_id: 'node-2' }) },
  { title: 'Register with wrong fields', args: post('/v1/nodes/register', { ...NODE, ip: 'here', capabilities: 'camera' }) },
  { title: 'Not JSON', args: post('/v1/nodes/register', '{"node_id":') },
  { title: 'Another content type', args: ['$URL/v1/nodes/register', ...AS_NODE, '-H', 'Content-Type: text/plain', '-d', 'x'] },
  { title: 'Claim the lease', args: post('/v1/leader/claim', { node_id: 'node-1', url: 'http://192.0.2.7:7420' }) },
  { title: 'Renew it', args: post('/v1/leader/claim', { node_id: 'node-1', url: 'http://192.0.2.7:7420', epoch: 1 }) },
  { title: 'A second node', args: post('/v1/nodes/register', { ...NODE, node_id: 'node-2', ip: '192.0.2.8' }, AS_OPERATOR) },
  {
    title: 'Another node loses the race',
    args: post('/v1/leader/claim', { node_id: 'node-2', url: 'http://192.0.2.8:7420' }, AS_OPERATOR),
  },
  {
    title: 'An epoch out of nowhere',
    args: post('/v1/leader/claim', { node_id: 'node-1', url: 'http://192.0.2.7:7420', epoch_seen: 999999999 }),
  },
  { title: 'The leader', args: get('/v1/leader') },
  { title: 'No plan is published', args: get('/v1/cluster/plan') },
  { title: 'Publish without If-Match', args: put('/v1/cluster/plan', PLAN) },
  { title: 'Dry run', args: put('/v1/cluster/plan?dry_run=true', PLAN, '-H', 'If-Match: "0"') },
  { title: 'Publish a Cluster Plan', args: put('/v1/cluster/plan', PLAN, '-H', 'If-Match: "0"') },
  {
    title: 'Renew the lease, for as long as that plan says',
    args: post('/v1/leader/claim', { node_id: 'node-1', url: 'http://192.0.2.7:7420', epoch: 1 }),
  },
  { title: 'Publish what another was quicker with', args: put('/v1/cluster/plan', PLAN, '-H', 'If-Match: "0"') },
  { title: 'Publish with a misspelt key', args: put('/v1/cluster/plan', { ...PLAN, servces: [] }, '-H', 'If-Match: "1"') },
  { title: 'Publish nothing', args: put('/v1/cluster/plan', { services: [] }, '-H', 'If-Match: "1"') },
  { title: 'Publish an Environment Profile', args: put('/v1/bootstrap/profile', PROFILE, '-H', 'If-Match: "0"') },
  { title: 'The profile', args: get('/v1/bootstrap/profile') },
  { title: 'The profile, when it is still the same', args: get('/v1/bootstrap/profile', '-H', 'If-None-Match: "1-f25fd6e98e25dc79"') },
  { title: 'The plan as it was written', args: get('/v1/cluster/plan') },
  { title: 'History', args: get('/v1/cluster/plan/history') },
  { title: 'One version', args: get('/v1/cluster/plan/history/1') },
  { title: 'A version that never was', args: get('/v1/bootstrap/profile/history/7') },
  { title: 'The plan of a node', args: post('/v1/nodes/plan', { node_id: 'node-1' }) },
  { title: 'Heartbeat', args: post('/v1/nodes/heartbeat', HEARTBEAT, AS_NODE, '-H', 'Bootplane-Epoch: 1/node-1') },
  {
    title: 'Heartbeat under a leader that no longer leads',
    args: post('/v1/nodes/heartbeat', HEARTBEAT, AS_NODE, '-H', 'Bootplane-Epoch: 0/node-0'),
  },
  {
    title: 'Heartbeats in a batch',
    args: post('/v1/nodes/heartbeats', { heartbeats: [HEARTBEAT, { ...HEARTBEAT, node_id: 'nobody' }] }, AS_OPERATOR),
  },
  { title: 'Report', args: post('/v1/bootstrap/events', EVENT) },
  { title: 'Report again: counted once', args: post('/v1/bootstrap/events', [EVENT]) },
  { title: 'Status of a node', args: get('/v1/bootstrap/status?node_id=node-1') },
  { title: 'Status of all', args: get('/v1/bootstrap/status') },
  { title: 'Nodes', args: get('/v1/nodes') },
  { title: 'One node', args: get('/v1/nodes/node-1') },
  { title: 'Devices', args: get('/v1/devices') },
  { title: 'The news of a site, a stream', args: get('/v1/news', ...NEWS) },
  { title: 'Versions that nobody signed', args: post('/v1/cluster/plan/versions', { versions: [OFFERED_PLAN] }) },
  { title: 'Versions from the other side of a network that was cut', args: post('/v1/cluster/plan/versions', '$OFFER') },
  { title: 'The same versions again', args: post('/v1/cluster/plan/versions', '$OFFER') },
  { title: 'History with a conflict', args: get('/v1/cluster/plan/history') },
  {
    title: 'Of two versions of one generation, the one that lost',
    args: get('/v1/cluster/plan/history/1?hash=08d4ef57950a87e00d97448fb8113f8e02fca40eb84fa2ee1f703a470c2242b3'),
  },
  {
    title: 'An artifact is pushed',
    args: ['-X', 'PUT', `$URL${ARTIFACT}`, ...AS_OPERATOR, '-H', 'Content-Type: application/octet-stream', '-d', 'an artifact'],
  },
  { title: 'A part of an artifact', args: get(ARTIFACT, '-H', 'Range: bytes=3-') },
  { title: 'An artifact that is not there', args: get(MISSING_ARTIFACT) },
  { title: 'State of the site', args: get('/v1/state') },
  { title: 'Events', args: get('/v1/events') },
  {
    title: 'Events after a cursor, as a stream',
    args: get('/v1/events?after=4', '-H', 'Accept: text/event-stream', '--max-time', '1', '--no-buffer'),
  },
  { title: 'Health with a credential', args: get('/healthz') },
  { title: 'Leave', args: post('/v1/nodes/leave', { node_id: 'node-1' }) },
  { title: 'Release the lease', args: post('/v1/leader/release', { node_id: 'node-1', epoch: 1 }) },
  { title: 'The news after that', args: get('/v1/news', ...NEWS) },
  { title: 'Release it again', args: post('/v1/leader/release', { node_id: 'node-1', epoch: 1 }) },
  { title: 'No such route', args: get('/v1/nowhere') },
  { title: 'A route that does not know the method', args: ['-X', 'DELETE', ...get('/v1/nodes')] },
];
