// Named events in JSON with a Sockeye server, the crate's `server::json`, from a browser.
//
// Owns reconnecting, what waits meanwhile, acknowledgements, and from where topics are resumed. What
// events and topics mean is the application's. The types, and what each member does, are in
// sockeye.d.ts beside this file.
//
//   ► {"event":"say","data":{"text":"Hello"},"id":1}      ◄ {"ack":1,"data":{"position":12}}
//   ◄ {"event":"ask","data":"ready?","id":1}              ► {"ack":1,"data":true}
//   ► {"event":"subscribe","data":{"topic":"blue","since":{"epoch":1,"offset":7}},"id":2}
//   ◄ {"event":"said","data":"Hi","topic":"blue","position":{"epoch":1,"offset":8}}
//   ◄ {"ack":2,"data":{"position":{"epoch":1,"offset":8},"complete":true}}

const DEFAULTS = {
  minWait: 500,
  maxWait: 30000,
  timeout: 10000,
  maxQueue: 256,
  maxBuffered: 1 << 20,
  // The server or the network failed (RFC 6455 section 7.4.1, and IANA's registry of close codes). With
  // any other code the server means this client.
  retry: ({ code }) => code === 1001 || code === 1006 || (code > 1010 && code < 1015),
};

// A connection that lasts as long, in milliseconds, is a success: the waits begin anew. A server that
// accepts and closes at once isn't asked ever faster.
const LASTED = 5000;

export class SockeyeError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export function connect(url, options) {
  const { minWait, maxWait, timeout, maxQueue, maxBuffered, retry, start, protocols } = { ...DEFAULTS, ...options };
  // Its `state` is set by turn().
  const client = Object.assign(new EventTarget(), {
    on(event, handler) {
      const all = handlers.get(event) ?? new Set();
      handlers.set(event, all.add(handler));
      return () => all.delete(handler);
    },
    emit: (event, data) => put(textOf(event, data)),
    request: (event, data, options) => ask(event, data, options),
    subscribe,
    close(code = 1000, reason = "") {
      if (client.state === "closed") return;
      socket?.close(code, reason);
      end(code, reason);
    },
  });
  const handlers = new Map();  // event → those who handle it
  const pending = new Map();   // id → what isn't acknowledged yet
  const topics = new Map();    // topic → its subscription
  let queue = [];              // what waits for a connection, in its order
  let socket = null, started = false, timer, openedAt, attempt = 0, lastId = 0;

  // ---- the connection

  async function open() {
    turn("connecting", { attempt });
    let mine;
    try {
      const target = await (typeof url === "function" ? url() : url);
      if (client.state === "closed") return;
      mine = socket = new WebSocket(new URL(target, globalThis.location?.href).href.replace(/^http/, "ws"), protocols);
    } catch (error) {
      return fail(error);
    }
    // What an earlier connection still has to say is about nothing any more.
    const current = (act) => (event) => mine === socket && act(event);
    mine.onmessage = current(({ data }) => receive(data, mine));
    mine.onclose = current(lost);
    mine.onopen = current(async () => {
      openedAt = Date.now();
      try {
        await start?.((event, data, options) => ask(event, data, options, mine));
      } catch (error) {
        mine.close();
        return mine === socket && fail(error);
      }
      if (mine !== socket) return;
      started = true;
      // What was missed comes before what waits: it may be among it.
      await Promise.all([...topics.values()].map((it) => it.join()));
      if (mine !== socket) return;
      turn("open");
      while (queue.length && mine.readyState === 1) put(queue.shift(), mine);
    });
  }

  function fail(error) {
    if (client.state === "closed") return;
    tell("error", error);
    lost({ code: 1006, reason: "" });
  }

  function lost({ code, reason }) {
    socket = null;
    started = false;
    const again = [];
    for (const entry of pending.values()) {
      if (!entry.sent) continue;
      if (entry.resend) again.push(entry);
      else entry.fail("lost", "not acknowledged");
      entry.sent = false;
    }
    queue = again.concat(queue);
    if (!retry({ code, reason })) return end(code, reason);
    if (Date.now() - openedAt > LASTED) attempt = 0;
    openedAt = NaN;
    // Twice as long each time, and by chance up to half less: pages that lost a server together don't
    // all come back to it at once.
    const wait = Math.min(maxWait, minWait * 2 ** attempt++) * (1 - Math.random() / 2);
    timer = setTimeout(open, wait);
    turn("waiting", { code, reason, wait, attempt });
  }

  function online() {
    if (client.state !== "waiting") return;
    clearTimeout(timer);
    open();
  }

  function end(code, reason) {
    clearTimeout(timer);
    started = false;
    globalThis.removeEventListener?.("online", online);
    socket = null;
    turn("closed", { code, reason });
    for (const entry of pending.values()) entry.fail("closed", "closed");
  }

  function turn(next, more) {
    client.state = next;
    tell("state", { state: next, ...more });
  }

  function tell(type, detail) {
    client.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // ---- what is sent

  // Sends on this connection, or on the next one that opens; returns whether there is room.
  function put(entry, mine) {
    const now = mine ?? (client.state === "open" && socket);
    if (now?.readyState === 1) {
      if (!mine && now.bufferedAmount > maxBuffered) return false;
      now.send(entry.text);
      return entry.sent = true;
    }
    return !mine && client.state !== "closed" && queue.length < maxQueue && queue.push(entry) > 0;
  }

  function ask(event, data, { timeout: wait = timeout, resend, signal } = {}, mine) {
    return new Promise((resolve, reject) => {
      const id = ++lastId;
      const settle = (act) => (value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        pending.delete(id);
        queue = queue.filter((it) => it !== entry);
        act(value);
      };
      const entry = textOf(event, data, id);
      entry.resend = resend;
      entry.resolve = settle(resolve);
      entry.fail = (code, message) => settle(reject)(new SockeyeError(code, message));
      const abort = () => settle(reject)(signal.reason);
      // A timer can't be longer; a longer one would be none.
      const timer = wait < 2 ** 31 && setTimeout(() => entry.fail("timeout", `not acknowledged in ${wait} ms`), wait);
      pending.set(id, entry);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      if (!put(entry, mine)) entry.fail(client.state === "closed" ? "closed" : mine ? "lost" : "full", "not sent");
    });
  }

  function subscribe(topic, { since, data, joined, refused } = {}) {
    const subscription = {
      topic,
      position: since,
      unsubscribe() {
        if (topics.get(topic)?.subscription !== subscription) return;
        topics.delete(topic);
        if (started) put(textOf("unsubscribe", { topic }), socket);
      },
    };
    const join = async () => {
      try {
        const reply = await ask("subscribe", { ...data, topic, since: subscription.position }, {}, socket);
        advance(subscription, reply?.position);
        joined?.(reply);
      } catch (error) {
        // The next connection asks again.
        if (error.code === "lost" || error.code === "closed") return;
        subscription.unsubscribe();
        refused ? refused(error) : tell("error", error);
      }
    };
    topics.set(topic, { subscription, join });
    if (started) join();
    return subscription;
  }

  // ---- what is received

  function receive(text, from) {
    let message;
    try {
      message = JSON.parse(text) ?? {};
    } catch (error) {
      return tell("error", error);
    }
    const { event, data, id, ack, error, topic, position } = message;
    if (event !== undefined) {
      const known = topics.get(topic);
      if (known && position && !advance(known.subscription, position)) return;
      return handle(event, data, id, { topic, position }, from);
    }
    const entry = pending.get(ack);
    if (!error) entry?.resolve(data);
    else if (entry) entry.fail(error.code, error.message);
    else if (ack === undefined) tell("error", new SockeyeError(error.code, error.message));
  }

  async function handle(event, data, id, about, from) {
    let error, results;
    try {
      const all = [...(handlers.get(event) ?? [])];
      if (id !== undefined && !all.length) throw new SockeyeError("unknown_event", `no event "${event}"`);
      results = await Promise.all(all.map((handler) => handler(data, about)));
    } catch (thrown) {
      error = thrown;
      // What the server isn't told in full is told here.
      if (id === undefined || !(error instanceof SockeyeError)) {
        tell("error", thrown);
        error = { code: "internal", message: "the handler failed" };
      }
    }
    if (id === undefined || from !== socket) return;
    const reply = error ? { error: { code: error.code, message: error.message } }
      : { data: results.find((it) => it !== undefined) };
    from.send(JSON.stringify({ ack: id, ...reply }));
  }

  globalThis.addEventListener?.("online", online);
  open();
  return client;
}

function textOf(event, data, id) {
  return { text: JSON.stringify({ event, data, id }) };
}

// Moves a subscription to a position; returns false if it is there or further already. A position of
// another epoch begins anew.
function advance(subscription, position) {
  const seen = subscription.position;
  if (!position || (seen && position.epoch === seen.epoch && position.offset <= seen.offset)) return false;
  subscription.position = position;
  return true;
}
