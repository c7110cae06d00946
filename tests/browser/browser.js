// What the tests in the browser share: Chromium, the servers, and people with a page each.
"use strict";
const { before, after } = require("node:test");
const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const target = process.env.CARGO_TARGET_DIR ?? "target";

// Turns a wait for what never comes into a failure, in milliseconds.
const GUARD = 20000;

let browser;
const running = new Set();

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // Its sandbox needs what containers don't give; the pages are our own.
    args: ["--no-sandbox"],
  });
});

after(async () => {
  for (const server of running) server.child.kill("SIGKILL");
  await browser.close();
});

// Starts an example; on a free port, if none is given.
async function serve(name, port = 0) {
  const child = spawn(`${target}/debug/examples/${name}`, ["--listen", `127.0.0.1:${port}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(readline.createInterface({ input: child.stdout }), "line");
  const server = { child, url: `http://${line.replace("listening on ", "")}` };
  running.add(server);
  return server;
}

async function stop(server) {
  const exited = once(server.child, "exit");
  server.child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  running.delete(server);
}

// As a crash does: without a Close.
async function kill(server) {
  const exited = once(server.child, "exit");
  server.child.kill("SIGKILL");
  await exited;
  running.delete(server);
}

// A person with a browser of their own; `received` is what the page's connections received.
async function visit(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(GUARD);
  page.received = [];
  page.errors = [];
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => page.received.push(parsed(payload))));
  page.on("pageerror", (error) => page.errors.push(String(error)));
  // What the page's policy forbids is told there, too; and each attempt to reach a stopped server.
  page.on("console", (message) => {
    if (message.type() === "error" && !/ERR_CONNECTION/.test(message.text())) {
      page.errors.push(message.text());
    }
  });
  await page.goto(url);
  return page;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const assertFine = (...pages) => pages.forEach((page) => assert.deepEqual(page.errors, []));

module.exports = { serve, stop, kill, visit, assertFine };
