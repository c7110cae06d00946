// The browser client with a real server. run.sh starts it.
"use strict";
const { test } = require("node:test");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const { serve, kill, visit, assertFine } = require("./browser.js");

// The most bytes that the client may have, minified: what a page can take without a thought.
const MAX_BYTES = 4096;

const tool = (name, ...options) =>
  execFileSync(`${process.env.NODE_PATH}/.bin/${name}`, options, { encoding: "utf8" });

// Runs `act` in a page with a client, with short waits; `seen` are the states that it went through.
async function client(server, act, more) {
  const page = await visit(server.url);
  const result = await page.evaluate(
    async ({ act, more }) => {
      const { connect, SockeyeError } = await import("/sockeye.js");
      const states = [], errors = [];
      const open = (options, url = "/peer") => {
        const client = connect(url, { minWait: 20, maxWait: 200, ...options });
        client.addEventListener("state", ({ detail }) => states.push(detail));
        client.addEventListener("error", ({ detail }) => errors.push(detail));
        return client;
      };
      const until = (client, state) => new Promise((resolve) => {
        if (client.state === state) return resolve();
        client.addEventListener("state", function look({ detail }) {
          if (detail.state !== state) return;
          client.removeEventListener("state", look);
          resolve(detail);
        });
      });
      const next = (client, event) => new Promise((resolve) => {
        const off = client.on(event, (data, about) => { off(); resolve({ data, ...about }); });
      });
      const failure = (promise) => promise.then(() => null, (error) => error.code ?? String(error));
      const tools = { open, until, next, failure, states, errors, SockeyeError, more };
      return (0, eval)(`(${act})`)(tools);
    },
    { act: String(act), more },
  );
  assertFine(page);
  await page.context().close();
  return result;
}

const named = (states) => states.map(({ state }) => state);

test("it is small, and typed", () => {
  const minified = tool("esbuild", "browser/sockeye.js", "--minify", "--format=esm", "--target=es2022");
  assert.ok(minified.length < MAX_BYTES, `${minified.length} bytes`);
  tool("tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler",
    "tests/browser/types.ts");
  // It has the members that the types promise, and no others.
  const types = readFileSync("browser/sockeye.d.ts", "utf8");
  const [, members] = /interface Sockeye<.*\{\n([^]*?)\n\}/.exec(types);
  const typed = new Set([...members.matchAll(/^ {2}(?:readonly )?(\w+)/gm)].map(([, name]) => name));
  typed.delete("addEventListener");
  typed.delete("handler");
  const code = readFileSync("browser/sockeye.js", "utf8");
  const [, given] = /Object.assign\(new EventTarget\(\), \{\n([^]*?)\n {2}\}\)/.exec(code);
  const there = new Set([...given.matchAll(/^ {4}(\w+)/gm)].map(([, name]) => name));
  assert.deepEqual(typed, there.add("state"));
});

test("events are acknowledged with data, with an error, or too late", async () => {
  const server = await serve("browser_peer");
  const seen = await client(server, async ({ open, until, failure, states, errors }) => {
    const client = open();
    const echoed = await client.request("echo", { text: "<b>ä</b>" });
    await until(client, "open");
    const failed = await client.request("fail").catch(({ code, message }) => ({ code, message }));
    const late = await failure(client.request("silent", null, { timeout: 50 }));
    const stop = new AbortController();
    const given = failure(client.request("silent", null, { signal: stop.signal }));
    stop.abort("no longer wanted");
    // An error without an id is told to nobody's request.
    client.emit("fail");
    await client.request("echo");
    const told = errors.map(({ code }) => code);
    client.close();
    const closed = await failure(client.request("echo"));
    return { echoed, failed, late, given: await given, told, closed, emitted: client.emit("echo"), states };
  });
  assert.deepEqual(seen.echoed, { text: "<b>ä</b>" });
  assert.deepEqual(seen.failed, { code: "no", message: "not this one" });
  assert.deepEqual([seen.late, seen.given, seen.closed], ["timeout", "no longer wanted", "closed"]);
  assert.deepEqual(seen.told, ["no"]);
  assert.equal(seen.emitted, false);
  assert.deepEqual(named(seen.states), ["open", "closed"]);
  await kill(server);
});

test("the server asks, and gets what a handler returns or why not", async () => {
  const server = await serve("browser_peer");
  const replies = await client(server, async ({ open, next, SockeyeError }) => {
    const client = open();
    client.on("double", async (value) => value * 2);
    client.on("refuse", () => { throw new SockeyeError("busy", "not now"); });
    client.on("break", () => { throw new Error("a secret of the page"); });
    const replies = [];
    for (const event of ["double", "refuse", "break", "unheard"]) {
      const sent = next(client, "sent");
      client.emit("send", JSON.stringify({ event, data: 21, id: 7 }));
      replies.push((await sent).data);
    }
    return replies;
  });
  assert.deepEqual(replies, [
    { ack: 7, data: 42 },
    { ack: 7, error: { code: "busy", message: "not now" } },
    { ack: 7, error: { code: "internal", message: "the handler failed" } },
    { ack: 7, error: { code: "unknown_event", message: "no event \"unheard\"" } },
  ]);
  await kill(server);
});

test("what isn't an event is an error, and no more", async () => {
  const server = await serve("browser_peer");
  const errors = await client(server, async ({ open, errors }) => {
    const client = open();
    for (const text of ["{", "null", "7", "[]", "{\"ack\":99}", "{\"event\":\"unheard\"}"]) client.emit("send", text);
    await client.request("echo");
    return errors.map(({ name }) => name);
  });
  assert.deepEqual(errors, ["SyntaxError"]);
  await kill(server);
});

test("it comes back, with what waited, in order; what was sent and not acknowledged is lost or sent again", async () => {
  const server = await serve("browser_peer");
  const seen = await client(server, async ({ open, until, failure, states, next }) => {
    const client = open({ maxQueue: 3 });
    await until(client, "open");
    const lost = failure(client.request("silent"));
    const again = client.request("silent", null, { resend: true, timeout: 300 });
    const failed = failure(again);
    client.emit("terminate");
    await until(client, "waiting");
    // Texts that come back as they were sent, behind the one that is sent again.
    const room = [1, 2, 3].map((number) => client.emit("send", JSON.stringify({ event: "n", data: number })));
    const full = await failure(client.request("echo"));
    const numbers = [];
    const all = new Promise((resolve) => client.on("n", (number) => numbers.push(number) === 2 && resolve()));
    await all;
    return { lost: await lost, again: await failed, room, full, numbers, states };
  });
  assert.deepEqual(seen.lost, "lost");
  assert.deepEqual(seen.again, "timeout");
  // One of three places is the resent one's.
  assert.deepEqual([seen.room, seen.full], [[true, true, false], "full"]);
  assert.deepEqual(seen.numbers, [1, 2]);
  assert.deepEqual(named(seen.states), ["open", "waiting", "connecting", "open"]);
  assert.equal(seen.states[1].code, 1006);
  await kill(server);
});

test("waits grow, with chance in them, and end at once when the browser is online again", async () => {
  const server = await serve("browser_peer");
  const page = await visit(server.url);
  await page.evaluate(async () => {
    const { connect } = await import("/sockeye.js");
    globalThis.states = [];
    globalThis.client = connect("/peer", { minWait: 40, maxWait: 150 });
    client.addEventListener("state", ({ detail }) => states.push(detail));
    await client.request("echo");
  });
  const port = new URL(server.url).port;
  await kill(server);
  await page.waitForFunction(() => states.filter(({ state }) => state === "waiting").length === 6);
  const waits = await page.evaluate(() => states.filter(({ state }) => state === "waiting").map(({ wait }) => wait));
  [40, 80, 150, 150, 150, 150].forEach((most, at) =>
    assert.ok(waits[at] <= most && waits[at] >= most / 2, `${waits}`));
  assert.ok(new Set(waits).size > 3, `${waits}`);
  // From here it waits for a minute, or for the network.
  await page.evaluate(() => {
    client.close();
    return import("/sockeye.js").catch(() => {});
  });
  const back = await serve("browser_peer", port);
  await page.evaluate(async () => {
    const { connect } = await import("/sockeye.js");
    globalThis.client = connect("/peer", { minWait: 120000, maxWait: 120000 });
    await client.request("echo");
    const waiting = new Promise((resolve) =>
      client.addEventListener("state", ({ detail }) => detail.state === "waiting" && resolve()));
    client.emit("terminate");
    await waiting;
    dispatchEvent(new Event("online"));
    await client.request("echo");
  });
  await page.context().close();
  await kill(back);
});

test("a server that means this client isn't asked again, unless told so", async () => {
  const server = await serve("browser_peer");
  const outcomes = await client(server, async ({ open, until, failure }) => {
    const outcome = async (code, options) => {
      const client = open(options);
      const ended = new Promise((resolve) => client.addEventListener("state", ({ detail }) =>
        (detail.state === "closed" || detail.state === "waiting") && resolve(detail)));
      await until(client, "open");
      const pending = failure(client.request("silent"));
      client.emit("close", { code, reason: "because" });
      const { state, code: seen, reason } = await ended;
      client.close();
      return [code, state, seen, reason, await pending];
    };
    const outcomes = [];
    for (const code of [1000, 1008, 1009, 4000, 4999, 1001, 1011, 1012, 1013]) outcomes.push(await outcome(code));
    outcomes.push(await outcome(4001, { retry: ({ code }) => code === 4001 }));
    return outcomes;
  });
  for (const [code, state, seen, reason, pending] of outcomes) {
    const again = [1001, 1011, 1012, 1013, 4001].includes(code);
    assert.deepEqual([state, seen, reason, pending], [again ? "waiting" : "closed", code, "because", "lost"]);
  }
  await kill(server);
});

test("each connection begins with start, and what is queued waits for it", async () => {
  const server = await serve("browser_peer");
  const seen = await client(server, async ({ open, until, next, states, errors }) => {
    let count = 0;
    const order = [];
    const client = open({
      start: async (request) => {
        order.push(`start ${count += 1}`);
        if (count === 2) await request("fail");
        order.push(await request("echo", "signed in"));
      },
    });
    order.push(await client.request("echo", "queued"));
    client.emit("terminate");
    await until(client, "waiting");
    order.push(await client.request("echo", "queued again"));
    return { order, states: states.map(({ state }) => state), errors: errors.map(({ code }) => code) };
  });
  assert.deepEqual(seen.order, ["start 1", "signed in", "queued", "start 2", "start 3", "signed in", "queued again"]);
  assert.deepEqual(seen.errors, ["no"]);
  await kill(server);
});

test("the URL may be a function, which is asked for each connection", async () => {
  const server = await serve("browser_peer");
  const count = await client(server, async ({ open, until, errors }) => {
    let count = 0;
    const client = open({}, async () => {
      if ((count += 1) === 2) throw new Error("no token");
      return new URL(`/peer?token=${count}`, location.href);
    });
    await client.request("echo");
    client.emit("terminate");
    await until(client, "waiting");
    await client.request("echo");
    return [count, errors.map(({ message }) => message)];
  });
  assert.deepEqual(count, [3, ["no token"]]);
  await kill(server);
});

test("a topic goes on where it was: nothing twice, and it says when something is missing", async () => {
  const server = await serve("browser_peer");
  const seen = await client(server, async ({ open, until, errors }) => {
    const [ann, bob] = [open(), open()];
    let heard = [];
    const joined = [];
    bob.on("said", (text) => { heard.push(text); });
    // A publication reaches who is on another worker when it will.
    const hears = async (text) => { while (!heard.includes(text)) await bob.request("echo"); };
    const room = bob.subscribe("kept/blue", { joined: (reply) => joined.push(reply) });
    await until(bob, "open");
    const say = (text) => ann.request("say", { topic: "kept/blue", text });
    await say("one");
    await say("two");
    await hears("two");
    const away = async (count) => {
      bob.emit("terminate");
      await until(bob, "waiting");
      for (let number = 1; number <= count; number += 1) await say(`missed ${number}`);
      await until(bob, "open");
    };
    await away(2);
    await say("live");
    await hears("live");
    const first = heard;
    heard = [];
    // More than the five that are kept.
    await away(7);
    await hears("missed 7");
    const second = heard;
    heard = [];
    const { position } = room;
    // A page that is loaded anew goes on where the last one was.
    const cat = open();
    const early = [];
    cat.on("said", (text) => early.push(text));
    cat.subscribe("kept/blue", { since: position });
    await until(cat, "open");
    const nothing = early.length;
    room.unsubscribe();
    await bob.request("echo");
    await say("not for bob");
    while (!early.length) await cat.request("echo");
    await bob.request("echo");
    return { first, second, joined, nothing, early, after: heard, errors };
  });
  assert.deepEqual(seen.first, ["one", "two", "missed 1", "missed 2", "live"]);
  assert.deepEqual(seen.second, [3, 4, 5, 6, 7].map((number) => `missed ${number}`));
  assert.deepEqual(seen.joined.map(({ complete }) => complete), [true, true, false]);
  assert.deepEqual([seen.nothing, seen.early, seen.after], [0, ["not for bob"], []]);
  assert.deepEqual(seen.errors, []);
  await kill(server);
});

test("a subscription that is refused is over", async () => {
  const server = await serve("browser_peer");
  const seen = await client(server, async ({ open, until, errors }) => {
    const client = open();
    await until(client, "open");
    const refused = new Promise((resolve) => client.subscribe("secret", { refused: ({ code }) => resolve(code) }));
    const code = await refused;
    client.subscribe("secret");
    await client.request("echo");
    client.emit("terminate");
    await until(client, "waiting");
    await until(client, "open");
    return [code, errors.map(({ code }) => code)];
  });
  assert.deepEqual(seen, ["forbidden", ["forbidden"]]);
  await kill(server);
});
