// What people see on the examples' pages. run.sh starts it.
"use strict";
const { test } = require("node:test");
const assert = require("node:assert/strict");
const { serve, stop, visit, assertFine } = require("./browser.js");

// Waits until an element's text holds this.
const sees = (page, selector, text) =>
  page.locator(selector).filter({ hasText: text }).first().waitFor({ state: "visible" });
const texts = (page, selector) => page.locator(selector).allTextContents();
const shoot = (page, name) => page.screenshot({ path: `target/browser/${name}.png` });

// ---- chat ---------------------------------------------------------------------------------------

async function enter(server, name, options) {
  const page = await visit(`${server.url}/chat/blue?name=${encodeURIComponent(name)}`, options);
  await sees(page, "#status", "Connected");
  return page;
}

async function say(page, text, to = "") {
  await page.selectOption("#to", to);
  await page.fill("#text", text);
  await page.click("#write button");
}

test("two people in a room see each other come, type, write and go", async () => {
  const server = await serve("chat");

  // The first comes in by the entrance.
  const ann = await visit(server.url);
  await shoot(ann, "chat-entrance");
  await ann.fill("#name", "ann");
  await ann.fill("#room", "blue");
  await ann.click("#enter button");
  await sees(ann, "#status", "Connected");
  await sees(ann, "#log .notice", "You joined, 1 person is here.");
  assert.equal(await ann.textContent("#title"), "Room blue");

  const bob = await enter(server, "bob");
  await sees(bob, "#log .notice", "You joined, 2 people are here.");
  await sees(ann, "#log .notice", "bob joined, 2 people are here.");
  assert.deepEqual(await texts(ann, "#people li > :last-child"), ["ann (you)", "bob"]);
  assert.deepEqual(await texts(bob, "#people li > :last-child"), ["ann", "bob (you)"]);
  // Each has an initial, and the same colour for everyone.
  const faces = (page) => page.locator("#people .face").evaluateAll((all) =>
    all.map((face) => [face.textContent, getComputedStyle(face).backgroundColor]));
  assert.deepEqual(await faces(ann), await faces(bob));
  assert.deepEqual((await faces(ann)).map(([initial]) => initial), ["A", "B"]);
  assert.equal(new Set((await faces(ann)).map(([, colour]) => colour)).size, 2);

  // Messages both ways, acknowledged to who wrote them.
  await say(ann, "Hello Bob");
  await sees(bob, "#log .message", "Hello Bob");
  await sees(ann, "#log .own.confirmed", "Hello Bob");
  await say(bob, "Hello Ann");
  await sees(ann, "#log .message", "Hello Ann");

  // Typing is shown to the other, and not to who types.
  await bob.locator("#text").pressSequentially("I am just");
  await sees(ann, "#typing", "bob is typing");
  await sees(ann, "#people .typing", "bob");
  assert.equal(await bob.textContent("#typing"), "");
  await shoot(ann, "chat-typing");
  await bob.click("#write button");
  await sees(ann, "#log .message", "I am just");
  assert.equal(await ann.textContent("#typing"), "");
  assert.ok(!bob.received.some(({ event, data }) => event === "typing" && data.name === "bob"));

  // What looks like markup is text.
  const markup = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>";
  await say(bob, markup);
  await sees(ann, "#log .message p", markup);
  assert.equal(await ann.locator("#log img, #log p b").count(), 0);
  assert.equal(await ann.title(), "blue – Sockeye chat");

  // A web address is a link, and nothing else is.
  await say(bob, "See https://example.com/fish?id=7, or javascript:alert(1)");
  await sees(ann, "#log .message p", "See https://example.com/fish?id=7, or javascript:alert(1)");
  const links = await ann.locator("#log a").evaluateAll((all) => all.map(({ href, rel }) => [href, rel]));
  assert.deepEqual(links, [["https://example.com/fish?id=7", "noopener noreferrer nofollow"]]);

  // What comes while nobody looks is counted in the title.
  const hide = (page, hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(ann, true);
  await say(bob, "Are you there?");
  await ann.waitForFunction(() => document.title === "(1) blue – Sockeye chat");
  await hide(ann, false);
  assert.equal(await ann.title(), "blue – Sockeye chat");

  // A third who comes in sees what was said.
  const cat = await enter(server, "<i>cat</i>");
  await sees(cat, "#log .notice", "You joined, 3 people are here.");
  const said = ["Hello Bob", "Hello Ann", "I am just", markup,
    "See https://example.com/fish?id=7, or javascript:alert(1)", "Are you there?"];
  assert.deepEqual(await texts(cat, "#log .message p"), said);
  await sees(bob, "#people", "<i>cat</i>");

  // A private message is seen by its two people only: the third sees the next one first.
  await say(ann, "only for Bob", "bob");
  await sees(bob, "#log .message.private", "only for Bob");
  await sees(ann, "#log .message.private.confirmed", "only for Bob");
  await say(ann, "for everyone");
  await sees(cat, "#log .message", "for everyone");
  assert.deepEqual(await texts(cat, "#log .message p"), [...said, "for everyone"]);
  assert.ok(!JSON.stringify(cat.received).includes("only for Bob"));
  await shoot(ann, "chat");

  await cat.context().close();
  await sees(ann, "#log .notice", "<i>cat</i> left, 2 people are here.");
  assert.deepEqual(await texts(bob, "#people li > :last-child"), ["ann", "bob (you)"]);

  assertFine(ann, bob, cat);
  await ann.context().close();
  await bob.context().close();
  await stop(server);
});

test("the chat says that it reconnects, comes back, and delivers what was written meanwhile", async () => {
  let server = await serve("chat");
  const ann = await enter(server, "ann");
  const bob = await enter(server, "bob", { colorScheme: "dark", viewport: { width: 390, height: 700 } });
  await sees(ann, "#log .notice", "bob joined, 2 people are here.");

  await stop(server);
  for (const page of [ann, bob]) {
    await sees(page, "#status", "Not connected. Reconnecting, attempt");
    await sees(page, "#log .notice", "The connection was lost.");
  }
  await say(ann, "written in between");
  await sees(ann, "#log .own.sending", "written in between");
  // It goes on trying.
  await sees(ann, "#status", /attempt [2-9]/);
  await shoot(ann, "chat-lost");

  server = await serve("chat", new URL(server.url).port);
  for (const page of [ann, bob]) {
    await sees(page, "#status", "Connected");
    await sees(page, "#log .notice", "You are connected again");
  }
  await sees(ann, "#log .own.confirmed", "written in between");
  await sees(bob, "#log .message", "written in between");
  for (const page of [ann, bob]) {
    assert.deepEqual(await texts(page, "#log .message p"), ["written in between"]);
    await sees(page, "#count", "Here (2)");
    // Nobody is told again that somebody joined.
    assert.equal((await texts(page, "#log .notice")).filter((text) => /^You joined/.test(text)).length, 1);
  }
  assert.equal((await texts(ann, "#log .notice")).filter((text) => /^bob joined/.test(text)).length, 1);
  await say(bob, "There you are again");
  await sees(ann, "#log .message", "There you are again");
  await shoot(bob, "chat-phone-dark");

  assertFine(ann, bob);
  await ann.context().close();
  await bob.context().close();
  await stop(server);
});

test("who was away is told what was missed, and where it begins", async () => {
  const server = await serve("chat");
  const ann = await enter(server, "ann");
  // Bob's connections can be taken away from him.
  const bob = await visit(server.url);
  let offline = false, connection;
  await bob.routeWebSocket(/\/rooms\//, (page) => {
    if (offline) return page.close({ code: 1001 });
    const server = page.connectToServer();
    connection = { close: () => Promise.all([server.close(), page.close({ code: 1001 })]) };
  });
  await bob.goto(`${server.url}/chat/blue?name=bob`);
  await sees(bob, "#log .notice", "You joined");
  await say(ann, "before");
  await sees(bob, "#log .message", "before");
  offline = true;
  await connection.close();
  await sees(bob, "#status", "Not connected. Reconnecting");
  for (const text of ["one", "two", "three"]) await say(ann, text);
  await sees(ann, "#log .own.confirmed", "three");
  offline = false;
  await sees(bob, "#log .missed", "You missed 3 messages");
  assert.deepEqual(await texts(bob, "#log .missed, #log .message p"),
    ["before", "You missed 3 messages", "one", "two", "three"]);
  await shoot(bob, "chat-missed");
  await ann.context().close();
  await bob.context().close();
  await stop(server);
});

// ---- the others ---------------------------------------------------------------------------------

test("the feed shows prices as they come, and what is published to its readers", async () => {
  const server = await serve("feed");
  const [ann, bob] = [await visit(server.url), await visit(server.url)];
  const row = (page, topic) => page.locator(`#topics [data-topic="${topic}"]`);
  const moved = /[▲▼] \d+\.\d\d/;
  for (const page of [ann, bob]) {
    await sees(page, "#status", "Connected");
    await row(page, "prices/COD").locator(".price", { hasText: moved }).waitFor();
    await page.waitForFunction(() => document.querySelector("[data-topic='prices/COD'] path").getAttribute("d").split("L").length > 3);
    // Follows a topic of its own, leaves it, and follows it again.
    for (const press of ["#follow button", "[aria-label='Unfollow news/fish']"]) await page.click(press);
    await page.click("[aria-label='Follow news/fish']");
    await page.locator("[aria-label='Unfollow news/fish']").waitFor();
  }
  await row(ann, "news/fish").locator(".readers", { hasText: "2 readers" }).waitFor();
  await ann.fill("#text", "<b>The salmon are back</b>");
  await ann.click("#publish button");
  await sees(ann, "#said", "Published to 2 readers.");
  for (const page of [ann, bob]) await sees(page, "#news li", "<b>The salmon are back</b>");
  await shoot(ann, "feed");
  assertFine(ann, bob);
  await ann.context().close();
  await bob.context().close();
  await stop(server);
});

test("a slow reader of the feed misses what is out of date, and not the latest", async () => {
  const server = await serve("feed");
  const page = await visit(server.url);
  await page.click("#slow");
  const [, kept] = /^Kept ([\d,]+) of 4,000, latest complete\.$/.exec(
    await page.locator("#verdict", { hasText: "Kept" }).textContent());
  assert.ok(Number(kept.replace(",", "")) < 2000, kept);
  assert.equal(await page.textContent("#published"), "4,000");
  assert.equal(await page.getAttribute("#slow", "aria-pressed"), "false");
  assertFine(page);
  await page.context().close();
  await stop(server);
});

test("the page with tokens signs in, posts, and says why it was closed", async () => {
  const server = await serve("auth");
  const [ann, second] = [await visit(server.url), await visit(server.url)];
  const signIn = async (page, role, path, how) => {
    await page.selectOption("#role", role);
    await page.selectOption("#path", path);
    await page.selectOption("#how", how);
    await page.click("#in button");
  };
  await signIn(ann, "admin", "/admin", "message");
  await sees(ann, "#status", "ann, admin");
  await ann.fill("#text", "<b>Hello</b>");
  await ann.click("#post button");
  await sees(ann, "#log li", "ann: <b>Hello</b>");
  await ann.click("#list");
  await sees(ann, "#log li", "Signed in: ann");

  await signIn(second, "reader", "/session", "query");
  await sees(second, "#status", "ann, reader");
  await sees(ann, "#log li", "Closed with 4000: signed in elsewhere");
  await sees(ann, "#status", "Nobody is signed in");
  await second.fill("#text", "not mine to say");
  await second.click("#post button");
  await sees(second, "#log li", "The server says: this needs the role writer");
  await signIn(second, "writer", "/admin", "message");
  await sees(second, "#log li", "Closed with 1008: this needs the role admin");
  await signIn(second, "writer", "/session", "wrong");
  await sees(second, "#log li", "Closed with 4001: the token is not valid");
  await shoot(second, "auth");
  assertFine(ann, second);
  await ann.context().close();
  await second.context().close();
  await stop(server);
});

test("the monitor's numbers move under load, and end with it", async () => {
  const server = await serve("monitor");
  const page = await visit(server.url);
  await sees(page, "#status", "Connected");
  await page.click("#load");
  await sees(page, "#connections", /^9$/);
  await sees(page, "#table tr", /Chrome \d+/);
  await sees(page, "#table td", /^[\d.]+ ms$/);
  await sees(page, "#messages_received", /[kM]/);
  await shoot(page, "monitor");
  await page.click("#load");
  await sees(page, "#closes tr", "1000");
  await sees(page, "#connections", /^1$/);
  assertFine(page);

  await stop(server);
  await sees(page, "#status", "Not connected. Reconnecting");
  await page.context().close();
});

test("a button of the monitor opens thousands of connections, and closes them", async () => {
  const server = await serve("monitor");
  const page = await visit(server.url);
  await sees(page, "#status", "Connected");
  await page.click("#crowd");
  await sees(page, "#connections", /^5,001$/);
  await sees(page, "#each", /^\d.* k?B$/);
  await sees(page, "#table-says", "and 4,981 more");
  await page.click("#crowd");
  await sees(page, "#connections", /^1$/);
  await sees(page, "#closes tr", "1006");
  assertFine(page);
  await page.context().close();
  await stop(server);
});

test("one page explains all four, and each is there, at any width and in both themes", async () => {
  const server = await serve("demo");
  for (const width of [390, 820, 1280]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(server.url, { viewport: { width, height: 800 }, colorScheme });
      await sees(page, "#connections", /^[1-9]/);
      const assertFits = async (name) => {
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${name} is ${over} wider than ${width}`);
        await page.screenshot({ path: `target/browser/${name}-${width}-${colorScheme}.png`, fullPage: true });
      };
      await assertFits("demo");
      for (const name of ["chat", "feed", "auth", "monitor"]) {
        await page.click(`.cards a[href="/${name}"]`);
        await page.waitForURL(`**/${name}`);
        if (name !== "chat" && name !== "auth") await sees(page, "#status", "Connected");
        await assertFits(name);
        await page.click(".mark:visible");
        await page.waitForURL(`${server.url}/`);
      }
      // The theme is a choice, and it stays.
      if (width === 390) {
        const dark = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
        await page.click("#theme");
        const other = colorScheme === "light" ? "dark" : "light";
        assert.equal(await dark(), other);
        await page.goto(`${server.url}/feed`);
        assert.equal(await dark(), other);
      }
      assertFine(page);
      await page.context().close();
    }
  }
  await stop(server);
});
