// A reader that is slow: it sleeps after each message.
"use strict";

// In milliseconds.
const SLEEP = 50;

const socket = new WebSocket(new URL("/feed", location.href).href.replace(/^http/, "ws"));
let read = 0;

// By a lock that nobody releases, where the page may have one: it is isolated from other sites'.
function sleep(milliseconds) {
  if (globalThis.SharedArrayBuffer) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
    return;
  }
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

socket.onopen = () => socket.send(JSON.stringify({ event: "flood", id: 1 }));
socket.onclose = () => postMessage({ error: "The connection was lost." });
socket.onmessage = ({ data }) => {
  const { event, data: update, error } = JSON.parse(data);
  if (error) return postMessage({ error: `The server says: ${error.message}` });
  if (event !== "update") return;
  read += 1;
  const { number, of } = update.data;
  postMessage({ read, number, of });
  if (number < of) sleep(SLEEP);
};
