// A service for bootplane to run: plain Node.js, no dependencies.
//   PORT                        where to listen, from the plan's env
//   BOOTPLANE_NODE_ID           given by the node that runs it
//   BOOTPLANE_SERVICE_VERSION   the version in the plan
import { createServer } from 'node:http';

const { PORT = '7480', BOOTPLANE_NODE_ID = 'unknown', BOOTPLANE_SERVICE_VERSION = 'unknown' } = process.env;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname === '/healthz') return answer(response, 200, { status: 'ok' });
  if (pathname === '/') {
    return answer(response, 200, { message: 'hello', node_id: BOOTPLANE_NODE_ID, version: BOOTPLANE_SERVICE_VERSION });
  }
  return answer(response, 404, { message: `there is no ${pathname}` });
});

server.listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write(`hello from node ${BOOTPLANE_NODE_ID}, version ${BOOTPLANE_SERVICE_VERSION}, on port ${PORT}\n`);
});

// The node stops a service with SIGTERM and waits stop_grace_seconds for it.
process.once('SIGTERM', () => {
  process.stdout.write('stopping\n');
  server.close();
  server.closeAllConnections();
});

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
