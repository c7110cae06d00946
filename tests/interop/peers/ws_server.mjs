import { createServer } from 'node:http';

import { AS_TOLD, WebSocketServer, asSet, options, send } from './common.mjs';

const http = createServer();

function serve(set) {
  const server = new WebSocketServer({ noServer: true, ...options(set) });
  let agreed;
  // Before the connection's event.
  server.on('headers', (lines) => {
    const name = 'Sec-WebSocket-Extensions: ';
    agreed = asSet(lines.find((it) => it.startsWith(name))?.slice(name.length));
  });
  server.on('connection', (ws, request) => talk(ws, request.socket, set, agreed));
  return server;
}

function talk(ws, socket, set, agreed) {
  let echoes = 0;
  let told = false;
  ws.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    if (message === '?agreed') ws.send(agreed);
    else if (message === '?traffic') ws.send(`${socket.bytesRead} ${socket.bytesWritten}`);
    else if (message === '?ping') ws.ping('interop');
    else if (message === '?close') {
      told = true;
      ws.close(...AS_TOLD);
    } else send(ws, message, (echoes += 1));
  });
  ws.on('pong', (data) => {
    if (data.toString() === 'interop') ws.send('pong');
  });
  ws.on('error', (error) => console.log(set, error.message));
  ws.on('close', (code, reason) => {
    if (!told) console.log(set, 'client', code, reason.toString());
    else console.log(set, code === AS_TOLD[0] ? 'server clean' : `answered by ${code}`);
  });
}

const servers = new Map(process.argv.slice(2).map((set) => [`/${set}`, serve(set)]));
http.on('upgrade', (request, socket, head) => {
  const server = servers.get(request.url);
  server.handleUpgrade(request, socket, head, (ws) => server.emit('connection', ws, request));
});
process.on('SIGTERM', () => http.close());
http.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${http.address().port}`));
