// What the ws peers share; README.md beside run.sh says what it is about.

import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';

// Installed by run.sh outside this directory, where imports don't look.
export const { WebSocket, WebSocketServer } = createRequire(process.env.NODE_MODULES_BESIDE)('ws');

export const DONE = [3001, 'done'];
export const AS_TOLD = [3002, 'as told'];

const OPTIONS = {
  server_no_context_takeover: 'serverNoContextTakeover',
  client_no_context_takeover: 'clientNoContextTakeover',
  server_max_window_bits: 'serverMaxWindowBits',
  client_max_window_bits: 'clientMaxWindowBits',
};

// A set as ws's options.
export function options(set) {
  // 0 is no limit. By default ws gives a peer up that sends 60 pings in a row.
  return { perMessageDeflate: perMessageDeflate(set), maxPendingAutoPongs: 0 };
}

// Everything is compressed that is not sent with `compress: false`.
function perMessageDeflate(set) {
  if (set === 'none') return false;
  const options = { threshold: 0 };
  for (const param of set.split(',').filter((it) => it !== 'deflate')) {
    const [name, value] = param.split('=');
    options[OPTIONS[name]] = value ? Number(value) : true;
  }
  return options;
}

// A Sec-WebSocket-Extensions header as a set. 15 bits are what holds without the parameter.
export function asSet(header) {
  if (!header) return 'none';
  const params = header.split(';').slice(1).map((it) => it.trim());
  return params.filter((it) => !it.endsWith('=15')).sort().join(',') || 'deflate';
}

// JSON of about 100 bytes for each item.
function document(first, items) {
  return JSON.stringify(
    Array.from({ length: items }, (_, i) => first + i).map((id) => ({
      id,
      user: `user-${(id * 7919) % 1000}`,
      city: 'Zürich',
      price: (id * 104729) % 9973,
      tags: ['fish', '鱼', '🐟'],
      open: true,
    })),
  );
}

// Messages that are sent in a row, then awaited.
export function batches() {
  const made = [
    () => '',
    () => Buffer.alloc(0),
    (n) => String(n),
    (n) => document(n, 2),
    (n) => document(n, 50),
    () => randomBytes(1000),
    (n) => Buffer.from(document(n, 50)),
    () => randomBytes(4000),
  ];
  const result = Array.from({ length: 200 }, (_, n) => made[n % 8](n));
  for (const n of [50, 128, 188]) result[n] = document(n, 3000);
  result[91] = randomBytes(300000);
  // What can be referred back to, but not within a window of 14 bits or less.
  const far = randomBytes(30000);
  result[137] = Buffer.concat([far, far, far]);
  const tens = Array.from({ length: 20 }, (_, n) => result.slice(10 * n, 10 * n + 10));
  return [...tens, Array.from({ length: 500 }, (_, n) => document(n, 1))];
}

// Each way of sending in its turn: what is compressed lies between what isn't.
export function send(ws, message, place) {
  if (place % 3 === 1) {
    ws.send(message, { compress: false });
  } else if (place % 3 === 2) {
    const third = Math.floor(message.length / 3);
    const binary = typeof message !== 'string';
    ws.send(message.slice(0, third), { binary, fin: false });
    ws.ping('between');
    ws.send(message.slice(0, 0), { binary, fin: false });
    ws.send(message.slice(third), { binary });
  } else {
    ws.send(message);
  }
}
