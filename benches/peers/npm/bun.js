// Bun's WebSocket server, as its documentation has it: one set of handlers for all connections.
// It batches by itself: replies are corked while a read is handled.
const has = (name) => process.argv.includes(name);
const fanout = has("--fanout");
const file = (at) => Bun.file(process.argv[process.argv.indexOf("--tls") + at]);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  tls: has("--tls") ? { cert: file(1), key: file(2) } : undefined,
  fetch(request, server) {
    if (server.upgrade(request)) return;
    return new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: has("--deflate") ? { compress: "shared", decompress: "shared" } : false,
    maxPayloadLength: 64 * 1024 * 1024,
    backpressureLimit: 128 * 1024 * 1024,
    open(socket) {
      if (fanout) socket.subscribe("all");
    },
    message(socket, message) {
      if (fanout) server.publish("all", message, has("--deflate"));
      else socket.send(message, has("--deflate"));
    },
  },
});
console.log(`listening on 127.0.0.1:${server.port}`);
