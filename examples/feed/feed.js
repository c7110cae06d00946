import { $, grouped, line, make, status, svg, watch } from "/common.js";
import { connect } from "/sockeye.js";

// The prices of a sparkline: a minute of them, at the server's four a second.
const SPARK = 240;
// As many fill its width: it grows closer from then on.
const FEWEST = 24;
// How often the list of topics is looked at, in milliseconds.
const LIST_AGAIN = 2000;

const rows = new Map();      // topic → its row
let followed = null;         // topics; all there are when the page opens

const feed = connect("/feed", {
  // What was followed is followed on each new connection, before anything else.
  start: async (request) => {
    if (!followed) await listed(await request("topics"));
    followed = new Set(await request("subscribe", [...followed]));
    showFollowed();
  },
});
watch(feed);
feed.on("update", update);
setInterval(() => feed.state === "open" && feed.request("topics").then(listed, () => {}), LIST_AGAIN);

function listed(topics) {
  for (const { topic, subscribers } of topics) {
    row(topic).readers.textContent = subscribers === 1 ? "1 reader" : `${grouped(subscribers)} readers`;
  }
  // The first list: follow all that there is.
  followed ??= new Set(topics.map(({ topic }) => topic));
}

async function change(event, topic) {
  try {
    followed = new Set(await feed.request(event, [topic]));
    showFollowed();
    listed(await feed.request("topics"));
  } catch (error) {
    status(`The server says: ${error.message}`, feed.state === "open");
  }
}

function showFollowed() {
  followed.forEach(row);
  for (const [topic, { button }] of rows) {
    button.textContent = followed.has(topic) ? "Unfollow" : "Follow";
    button.setAttribute("aria-label", `${button.textContent} ${topic}`);
  }
}

function update({ topic, data }) {
  if (topic.startsWith("prices/") && typeof data?.price === "number") return price(row(topic), data.price);
  $("no-news").hidden = true;
  $("news").prepend(make("li", "", make("b", "", topic), " ", typeof data === "string" ? data : JSON.stringify(data)));
}

function price(row, price) {
  const before = row.prices.at(-1);
  row.prices.push(price);
  if (row.prices.length > SPARK) row.prices.shift();
  // The arrow says it without the colour.
  const moved = before === undefined || before === price ? "" : price > before ? "up" : "down";
  row.last.textContent = `${{ up: "▲ ", down: "▼ ", "": "" }[moved]}${price.toFixed(2)}`;
  row.last.className = `number price ${moved}`;
  const slots = Math.max(row.prices.length, FEWEST);
  row.spark.setAttribute("d", line(row.prices, 100, 30, slots, Math.min(...row.prices), Math.max(...row.prices)));
}

function row(topic) {
  const known = rows.get(topic);
  if (known) return known;
  const [kind, name] = topic.split("/");
  const label = make("div", "topic", make("small", "", `${kind}/`), make("b", "", name));
  label.title = topic;
  const spark = svg("path");
  const box = svg("svg", { class: "spark", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" });
  box.append(spark);
  const made = {
    prices: [],
    spark,
    last: make("div", "number price", "–"),
    readers: make("div", "number quiet readers"),
    button: make("button", "plain", "Follow"),
  };
  made.button.type = "button";
  made.button.setAttribute("aria-label", `Follow ${topic}`);
  made.button.addEventListener("click", () => change(followed?.has(topic) ? "unsubscribe" : "subscribe", topic));
  rows.set(topic, made);
  const item = make("li", "", label, made.last, box, made.readers, made.button);
  item.dataset.topic = topic;
  $("topics").append(item);
  return made;
}

$("follow").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  change("subscribe", $("other").value);
});

$("publish").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  try {
    const body = JSON.stringify({ topic: $("topic").value, data: $("text").value });
    const headers = { "Content-Type": "application/json" };
    const response = await fetch("/publish", { method: "POST", headers, body });
    const answer = await response.json();
    $("said").textContent = answer.error ?? `Published to ${answer.subscribers === 1 ? "1 reader" : `${answer.subscribers} readers`}.`;
    if (response.ok) $("text").value = "";
  } catch {
    $("said").textContent = "The server can't be reached.";
  }
});

// ---- the slow reader, in a worker: a thread that sleeps stops reading, and nothing else

let reader = null;

$("slow").addEventListener("click", () => {
  if (reader) return endRace("");
  $("slow").setAttribute("aria-pressed", "true");
  $("race").hidden = false;
  $("ticks").replaceChildren();
  $("verdict").textContent = "";
  reader = new Worker("/slow.js");
  reader.onmessage = ({ data }) => race(data);
});

function race({ error, read, number, of }) {
  if (error) return endRace(error);
  $("ticks").append(svg("line", { x1: number / of * 400, x2: number / of * 400, y1: 2, y2: 26 }));
  $("published").textContent = grouped(number);
  $("read").textContent = grouped(read);
  $("left-out").textContent = grouped(number - read);
  if (number === of) endRace(`Kept ${grouped(read)} of ${grouped(of)}, latest complete.`);
}

function endRace(verdict) {
  reader.terminate();
  reader = null;
  $("slow").setAttribute("aria-pressed", "false");
  $("verdict").textContent = verdict;
}
