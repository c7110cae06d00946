import { $, make, watch } from "/common.js";
import { connect } from "/sockeye.js";

// How long a name is shown as typing without another word of it, in milliseconds.
const TYPING_SHOWN = 4000;
// How long after a loss who comes back comes as no news, in milliseconds: the longest wait, and a bit.
const COMING_BACK = 35000;

const [, room = ""] = /^\/chat\/([A-Za-z0-9_-]{1,32})$/.exec(location.pathname) ?? [];
const me = (new URLSearchParams(location.search).get("name") ?? "").trim().slice(0, 32);

if (room && me) start(); else ask();

function ask() {
  $("entrance").hidden = false;
  $("name").value = me;
  $("room").value = room || "lobby";
  $("name").focus();
  $("enter").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const name = $("name").value.trim();
    if (name) location.assign(`/chat/${$("room").value}?name=${encodeURIComponent(name)}`);
  });
}

function start() {
  let saidTyping = 0;           // when the others were last told, or 0
  let unread = 0;
  let joinedBefore = false;
  let missed = null;            // how many came while this connection joins, of those before the loss
  let absent = new Set();       // who was here when the connection was lost
  let people = new Set();
  const unconfirmed = new Map();  // key → message that is not acknowledged yet
  const seen = new Set();         // ids of messages that are shown
  const typing = new Map();       // name → timer

  document.title = `${room} – Sockeye chat`;
  $("title").textContent = `Room ${room}`;
  $("chat").hidden = false;
  showPeople();
  $("text").focus();

  // ---- the connection

  const chat = connect(`/rooms/${room}?name=${encodeURIComponent(me)}`);
  watch(chat);
  chat.on("message", (data) => show(data, false));
  chat.on("private", (data) => show(data, true));
  chat.on("typing", (data) => showTyping(data.name, data.typing));
  chat.on("joined", ({ name, count }) => {
    people.add(name);
    showPeople();
    // Who was lost with the same server comes back, and has not been away.
    if (!absent.delete(name)) notice(`${name} joined, ${here(count)}.`);
  });
  chat.on("left", ({ name, count }) => {
    people.delete(name);
    showPeople();
    showTyping(name, false);
    notice(`${name} left, ${here(count)}.`);
  });
  chat.addEventListener("error", ({ detail }) => notice(`The server says: ${detail.message}`));
  chat.addEventListener("state", ({ detail: { state, attempt } }) => {
    if (state === "connecting" && joinedBefore) missed = 0;
    if (state !== "waiting" || attempt !== 1 || !joinedBefore) return;
    saidTyping = 0;
    for (const name of [...typing.keys()]) showTyping(name, false);
    notice("The connection was lost.");
    absent = new Set(people);
    setTimeout(() => absent.clear(), COMING_BACK);
  });
  chat.subscribe(room, { joined, refused: ({ message }) => notice(`The server says: ${message}`) });

  function joined({ members, count, complete }) {
    people = new Set(members);
    showPeople();
    for (const name of members) absent.delete(name);
    if (!joinedBefore) notice(`You joined, ${here(count)}.`);
    else {
      if (missed) divider(missed === 1 ? "You missed 1 message" : `You missed ${missed} messages`);
      notice(`You are connected again, ${here(count)}.${complete ? "" : " Older messages may be gone."}`);
    }
    joinedBefore = true;
    missed = null;
  }

  function here(count) {
    return count === 1 ? "1 person is here" : `${count} people are here`;
  }

  function show(data, isPrivate) {
    if (seen.has(data.id)) return;
    seen.add(data.id);
    const own = data.from === me;
    const waiting = own && unconfirmed.get(data.key);
    // It arrived, and its acknowledgement was lost with the connection.
    if (waiting) return waiting.arrived.abort();
    if (!own && missed !== null) missed += 1;
    showTyping(data.from, false);
    const item = append(data.from, isPrivate ? `${data.from} to you, privately` : data.from, data.text, data.at, own, isPrivate);
    if (missed !== null && !item.previousSibling?.classList.contains("late")) item.classList.add("first");
    if (missed !== null) item.classList.add("late");
    if (own) mark(item, "confirmed", "✓", "delivered");
    else if (document.hidden) countUnread(unread + 1);
  }

  // The line above the messages that were missed.
  function divider(text) {
    const first = [...document.querySelectorAll("#log .first")].at(-1);
    first?.before(make("li", "notice missed", text));
    for (const item of document.querySelectorAll("#log .late")) item.classList.remove("first", "late");
  }

  // ---- what nobody has looked at yet

  function countUnread(count) {
    unread = count;
    document.title = `${count ? `(${count}) ` : ""}${room} – Sockeye chat`;
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) countUnread(0); });

  // ---- what is sent

  $("write").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const text = $("text").value.trim();
    if (!text) return;
    const to = $("to").value;
    $("text").value = "";
    sayTyping(false);
    const item = append(me, to ? `You to ${to}, privately` : "You", text, Date.now(), true, Boolean(to));
    mark(item, "sending", "◌", "being sent");
    const key = newKey(), arrived = new AbortController();
    unconfirmed.set(key, { arrived });
    try {
      // It waits as long as it takes, and its key tells whether it arrived before.
      const options = { resend: true, timeout: Infinity, signal: arrived.signal };
      const { id } = await (to ? chat.request("private", { to, text }, options) : chat.request("message", { text, key }, options));
      seen.add(id);
      mark(item, "confirmed", "✓", "delivered");
    } catch (error) {
      if (arrived.signal.aborted) mark(item, "confirmed", "✓", "delivered");
      else mark(item, "failed", `⚠ ${error.message}`, "not delivered");
    }
    unconfirmed.delete(key);
  });

  // A name for a message that no other one has.
  function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  $("text").addEventListener("input", () => sayTyping($("text").value !== "" && $("to").value === ""));
  $("text").addEventListener("blur", () => sayTyping(false));

  function sayTyping(typing) {
    const now = Date.now();
    // Once more before the others stop showing it, and when it ends.
    if (typing ? now - saidTyping < TYPING_SHOWN / 2 : saidTyping === 0) return;
    saidTyping = typing ? now : 0;
    // It is worth nothing later.
    if (chat.state === "open") chat.emit("typing", { typing });
  }

  // ---- what is shown

  function add(item) {
    const log = $("log");
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    log.append(item);
    if (atEnd || item.classList.contains("own")) log.scrollTop = log.scrollHeight;
    return item;
  }

  function append(name, from, text, at, own, isPrivate) {
    const item = make("li", `message${own ? " own" : ""}${isPrivate ? " private" : ""}`);
    const time = make("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = new Date(at).toISOString();
    const bubble = make("div", "bubble", make("div", "about", make("b", "", from), " ", time), make("p", "", ...linked(text)));
    item.append(...(own ? [] : [face(name)]), bubble);
    return add(item);
  }

  // A person's colour and initial, the same for everyone who sees them.
  function face(name) {
    let hash = 0;
    for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 3600;
    const made = make("span", "face", [...name][0].toUpperCase());
    made.style.setProperty("--hue", hash / 10);
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  // The text with its web addresses as links; a full stop behind one isn't its own.
  function linked(text) {
    return text.split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?()])/).map((part, at) => {
      if (at % 2 === 0) return part;
      const link = make("a", "", part);
      link.href = part;
      link.target = "_blank";
      link.rel = "noopener noreferrer nofollow";
      return link;
    });
  }

  function notice(text) {
    add(make("li", "notice", text));
  }

  function mark(item, state, sign, meaning) {
    item.classList.remove("sending", "confirmed", "failed");
    item.classList.add(state);
    let shown = item.querySelector(".sign");
    if (!shown) {
      shown = make("span", "sign");
      shown.setAttribute("role", "img");
      item.querySelector(".about").append(shown);
    }
    shown.textContent = sign;
    shown.setAttribute("aria-label", state === "failed" ? `${meaning}: ${sign.slice(2)}` : meaning);
  }

  function showPeople() {
    showList();
    const chosen = $("to").value;
    const others = [...people].filter((name) => name !== me);
    // Who left stays chosen, so that a private text doesn't suddenly go to everyone.
    if (chosen && !others.includes(chosen)) others.push(chosen);
    const everyone = new Option("To everyone", "");
    $("to").replaceChildren(everyone, ...others.map((name) => new Option(`To ${name}`, name)));
    $("to").value = chosen;
  }

  function showList() {
    $("count").textContent = `Here (${people.size})`;
    $("people").replaceChildren(...[...people].map((name) =>
      make("li", typing.has(name) ? "typing" : "", face(name), make("span", "", name === me ? `${name} (you)` : name))));
  }

  function showTyping(name, isTyping) {
    if (name === me) return;
    clearTimeout(typing.get(name));
    typing.delete(name);
    if (isTyping) typing.set(name, setTimeout(() => showTyping(name, false), TYPING_SHOWN));
    const names = [...typing.keys()];
    $("typing").textContent =
      names.length === 0 ? "" :
      names.length === 1 ? `${names[0]} is typing …` :
      names.length === 2 ? `${names[0]} and ${names[1]} are typing …` :
      `${names.length} people are typing …`;
    showList();
  }
}
