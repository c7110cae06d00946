// `ws` on Node, with bufferutil as its documentation recommends. Compression is off by default.
const { readFileSync } = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocket, WebSocketServer } = require("ws");

const has = (name) => process.argv.includes(name);
const file = (at) => readFileSync(process.argv[process.argv.indexOf("--tls") + at]);
const listener = has("--tls")
  ? https.createServer({ cert: file(1), key: file(2) })
  : http.createServer();
const server = new WebSocketServer({
  server: listener,
  perMessageDeflate: has("--deflate")
    ? { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 }
    : false,
});
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    if (!has("--fanout")) return socket.send(data, { binary });
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary });
    }
  });
});
listener.listen(0, "127.0.0.1", () =>
  console.log(`listening on 127.0.0.1:${listener.address().port}`),
);
