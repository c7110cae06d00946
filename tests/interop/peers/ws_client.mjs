import assert from 'node:assert/strict';
import { once } from 'node:events';

import { AS_TOLD, DONE, WebSocket, asSet, batches, options, send } from './common.mjs';

async function converse(url, asker, set) {
  const ws = new WebSocket(url, options(set));
  // Those nobody awaits at the moment wait here.
  const arrived = [];
  let wake = () => {};
  ws.on('message', (data, isBinary) => {
    arrived.push(isBinary ? data : data.toString());
    wake();
  });
  let failure;
  let pongs = 0;
  ws.on('error', (error) => { failure = error; wake(); });
  ws.on('pong', (data) => { pongs += data.toString() === 'from the client'; });
  const closed = new Promise((resolve) => {
    ws.on('close', (code, reason) => {
      failure ??= new Error(`closed: ${code} ${reason}`);
      wake();
      resolve([code, reason.toString()]);
    });
  });
  const next = async () => {
    while (arrived.length === 0) {
      if (failure) throw failure;
      await new Promise((resolve) => { wake = resolve; });
    }
    return arrived.shift();
  };
  const ask = (question) => {
    ws.send(question);
    return next();
  };

  let response;
  ws.on('upgrade', (it) => { response = it; });
  await once(ws, 'open');
  const here = asSet(response.headers['sec-websocket-extensions']);
  const there = await ask('?agreed');
  assert.equal(there, here, `the client agreed on ${here}, the server on ${there}`);

  const sent = batches();
  for (const [number, batch] of sent.entries()) {
    batch.forEach((message, place) => send(ws, message, 10 * number + place));
    ws.ping('from the client');
    for (const [place, message] of batch.entries()) {
      const echo = await next();
      const same = typeof message === 'string' ? echo === message
        : Buffer.isBuffer(echo) && message.equals(echo);
      assert(same, `message ${place} of batch ${number} comes back changed`);
    }
    assert.equal(await ask('?ping'), 'pong');
  }
  assert.equal(pongs, sent.length, 'pongs are missing');
  const total = sent.flat().reduce((sum, message) => sum + Buffer.byteLength(message), 0);
  const { bytesRead, bytesWritten } = response.socket;
  const [up, down] = [bytesWritten, bytesRead].map((bytes) => Math.floor((100 * bytes) / total));

  if (asker === 'client') ws.close(...DONE);
  else ws.send('?close');
  const [code, reason] = await closed;
  // The answer to a Close needs no reason.
  if (asker === 'client') assert.equal(code, DONE[0]);
  else assert.deepEqual([code, reason], AS_TOLD);
  return `${here} ${up} ${down}`;
}

const [url, ...rows] = process.argv.slice(2);
for (const row of rows) {
  const [asker, set] = row.split(':');
  const [ours, theirs] = asker === 'client' ? [set, 'deflate'] : ['deflate', set];
  try {
    console.log(row, await converse(`${url}/${theirs}`, asker, ours));
  } catch (error) {
    console.log(row, 'FAILED', error.message.replaceAll('\n', ' '));
    process.exitCode = 1;
  }
}
