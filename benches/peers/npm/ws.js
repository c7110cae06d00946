// `ws` on Node, with bufferutil as its documentation recommends. Compression is off by default.
const { WebSocket, WebSocketServer } = require("ws");

const has = (name) => process.argv.includes(name);
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
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
server.on("listening", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
