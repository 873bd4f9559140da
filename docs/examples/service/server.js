// A service for bootplane to run: plain Node.js, no dependencies. It takes pictures of cameras, and finds those that look alike.
//   PORT                        where to listen, from the plan's env
//   BOOTPLANE_NODE_ID           given by the node that runs it
//   BOOTPLANE_SERVICE_VERSION   the version in the plan
//   BOOTPLANE_URL               where the node gives it buckets, queues and vectors (see data.js)
//   BOOTPLANE_TOKEN             what the node knows it by
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from './data.js';

const { PORT = '7480', BOOTPLANE_NODE_ID = 'unknown', BOOTPLANE_SERVICE_VERSION = 'unknown' } = process.env;
const ending = new AbortController();
const data = connect(process.env, ending.signal);

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  route(request, url).then(
    ([status, body]) => answer(response, status, body),
    (error) => answer(response, 502, { message: error.message }),
  );
});

async function route(request, { pathname, searchParams }) {
  const asked = `${request.method} ${pathname}`;
  if (asked === 'GET /healthz') return [200, { status: 'ok' }];
  if (asked === 'GET /') return [200, { message: 'hello', node_id: BOOTPLANE_NODE_ID, version: BOOTPLANE_SERVICE_VERSION }];
  if (asked === 'POST /frames') return [202, await take(request, searchParams.get('camera') ?? 'unknown')];
  if (asked === 'GET /alike') return [200, await alike(searchParams.get('to') ?? '')];
  return [404, { message: `there is no ${asked}` }];
}

/** Keeps the picture in a bucket and says so in a message: whoever works on it need not be this service. */
async function take(picture, camera) {
  const key = `raw/${camera}/${randomUUID()}`;
  await data.put('captures', key, picture);
  const { routed } = await data.publish('cameras', { key: 'frame.new', message_id: key, body: JSON.stringify({ key, camera }) });
  return { key, routed };
}

/** Turns each picture that a message tells of into a vector. A picture that comes twice ends in the same place. */
async function look(message) {
  const { key, camera } = JSON.parse(message.body);
  const picture = await data.get('captures', key);
  await data.upsert('Frame', [{ id: key, vector: toVector(picture), meta: { camera, taken_at: new Date().toISOString() } }]);
}

async function alike(key) {
  const picture = await data.get('captures', key);
  const hits = await data.search('Frame', { vector: toVector(picture), limit: 5 });
  return { hits: hits.map(({ id, distance, meta }) => ({ key: id, distance, camera: meta.camera })) };
}

/** A stand-in for a model: how the bytes of the picture are spread. */
function toVector(picture) {
  const vector = new Array(384).fill(1);
  for (const [index, byte] of picture.entries()) vector[index % vector.length] += byte;
  return vector;
}

server.listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write(`hello from node ${BOOTPLANE_NODE_ID}, version ${BOOTPLANE_SERVICE_VERSION}, on port ${PORT}\n`);
});
const working = data.consume('frames', look);

// The node stops a service with SIGTERM and waits stop_grace_seconds for it.
process.once('SIGTERM', async () => {
  process.stdout.write('stopping\n');
  ending.abort();
  await working;
  server.close();
  server.closeAllConnections();
});

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
