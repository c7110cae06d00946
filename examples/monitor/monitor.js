import { $, grouped, line, make, short, svg, watch } from "/common.js";
import { connect } from "/sockeye.js";

const TILES = [
  // member of the statistics, title, whether it only grows, unit
  ["messages_received", "Messages received", true, ""],
  ["messages_sent", "Messages sent", true, ""],
  ["bytes_received", "Received", true, "B"],
  ["bytes_sent", "Sent", true, "B"],
  ["connections_opened", "Connections opened", true, ""],
  ["topics", "Topics", false, ""],
  ["subscriptions", "Subscriptions", false, ""],
  ["queued_bytes", "Waiting to be written", false, "B"],
  ["conflated", "Left out for newer ones", true, ""],
  ["dropped", "Messages dropped", true, ""],
  ["rate_limited", "Over a rate limit", true, ""],
  ["reconnections", "Reconnections", true, ""],
];
// A minute, at one look a second.
const SLOTS = 60;

const tiles = new Map();
for (const [name, title] of TILES) {
  const value = make("dd", "value", "–"), rate = make("dd", "rate");
  value.id = name;
  $("tiles").append(make("div", "", make("dt", "", title), value, rate));
  tiles.set(name, { value, rate });
}

let before = null;
let crowd = { wanted: 0 };
const perSecond = { received: [], sent: [] };

const live = connect("/live");
watch(live);
live.on("stats", show);
// A server that was restarted counts anew.
live.addEventListener("state", ({ detail }) => { if (detail.state === "waiting") before = null; });

function show({ stats, memory, each, crowd: now, list, more }) {
  // By the server's clock.
  const seconds = before ? stats.uptime_seconds - before.uptime_seconds : 0;
  const rate = (name) => seconds > 0 ? (stats[name] - before[name]) / seconds : 0;
  $("uptime").textContent = `up for ${duration(stats.uptime_seconds)}`;
  $("connections").textContent = grouped(stats.connections);
  $("memory").textContent = memory === null ? "–" : short(memory, "B");
  $("each").textContent = each === null ? "–" : short(each, "B");
  for (const [name, , grows, unit] of TILES) {
    tiles.get(name).value.textContent = short(stats[name], unit);
    tiles.get(name).rate.textContent = grows ? `${short(rate(name), unit)} per second` : "now";
  }
  for (const name of ["received", "sent"]) {
    perSecond[name].push(rate(`messages_${name}`));
    if (perSecond[name].length > SLOTS) perSecond[name].shift();
  }
  draw();
  showCrowd(now);
  showTable(list, more);
  for (const name of ["closes", "errors", "handshake_failures"]) counts(name, stats[name]);
  before = stats;
}

// ---- the chart, drawn at the size that it has

new ResizeObserver(draw).observe($("chart"));

function draw() {
  const { width, height } = $("chart").getBoundingClientRect();
  const left = 52, bottom = 22, top = 8;
  const [w, h] = [width - left - 4, height - bottom - top];
  const most = ceiling(Math.max(1, ...perSecond.received, ...perSecond.sent));
  const parts = [];
  const text = (x, y, anchor, content) => {
    const made = svg("text", { x, y, "text-anchor": anchor });
    made.textContent = content;
    parts.push(made);
  };
  for (const share of [0, 0.5, 1]) {
    const y = top + h * (1 - share);
    parts.push(svg("line", { class: "grid", x1: left, x2: left + w, y1: y, y2: y }));
    text(left - 8, y + 4, "end", short(most * share));
  }
  [60, 45, 30, 15, 0].forEach((ago) =>
    text(left + w * (1 - ago / 60), height - 4, ago === 0 ? "end" : ago === 60 ? "start" : "middle", ago ? `−${ago} s` : "now"));
  for (const name of ["received", "sent"]) {
    parts.push(svg("path", {
      class: name, d: line(perSecond[name], w, h, SLOTS, 0, most), transform: `translate(${left} ${top})`,
    }));
  }
  $("chart").replaceChildren(...parts);
}

// The next round number.
function ceiling(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((it) => it * size >= value) * size;
}

// ---- connections

function showTable(list, more) {
  $("table").replaceChildren(...list.map((it) => {
    const head = make("th", "", it.address);
    head.scope = "row";
    const agent = make("td", "", name(it.agent));
    agent.title = it.agent ?? "";
    const number = (text) => make("td", "number", text);
    return make("tr", "", head, agent, number(duration(it.age)),
      number(it.round_trip === null ? "–" : `${it.round_trip.toFixed(it.round_trip < 10 ? 2 : 0)} ms`),
      number(short(it.received)), number(short(it.sent)), number(short(it.waiting, "B")));
  }));
  $("table-says").textContent = more ? `and ${grouped(more)} more` : "";
}

// What a person would call it: each browser claims to be all those before it.
function name(agent) {
  const [, browser, version] = /(Edg|OPR|Firefox|Chrome)\/(\d+)/.exec(agent) ?? /(Safari)\/(\d+)/.exec(agent) ?? [];
  return browser ? `${{ Edg: "Edge", OPR: "Opera" }[browser] ?? browser} ${version}` : agent ?? "–";
}

function showCrowd(now) {
  crowd = now;
  const { wanted, open, full } = crowd;
  $("crowd").textContent = wanted ? "Close them again" : "Open 5,000 connections";
  $("crowd-says").textContent = !wanted ? "" : open >= wanted
    ? `${grouped(open)} connections from another process of this machine, for a minute.`
    : full ? `${grouped(open)} connections: more this system doesn't allow.`
    : `Opening: ${grouped(open)} of ${grouped(wanted)} …`;
}

$("crowd").addEventListener("click", async () => {
  $("crowd").disabled = true;
  try {
    await live.request("crowd", !crowd.wanted);
  } catch (error) {
    $("crowd-says").textContent = `The server says: ${error.message}`;
  }
  $("crowd").disabled = false;
});

function counts(name, counts) {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  const rows = some.map(([label, count]) => {
    const head = make("th", "", label.replaceAll("_", " "));
    head.scope = "row";
    return make("tr", "", head, make("td", "", short(count)));
  });
  $(name).replaceChildren(...(rows.length ? rows : [make("tr", "", make("th", "quiet", "None"))]));
}

function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return "0 s";
  let left = Math.floor(seconds);
  return units.slice(at, at + 2).map(([unit, size]) => {
    const count = Math.floor(left / size);
    left %= size;
    return `${count} ${unit}`;
  }).join(" ");
}

// ---- a handful of echoes at once, until the button is pressed again

let load = [];
$("load").addEventListener("click", () => {
  const on = load.length === 0;
  $("load").setAttribute("aria-pressed", on);
  $("load").textContent = on ? "Stop the load" : "Make some load";
  for (const socket of load) socket.close(1000);
  load = on ? Array.from({ length: 8 }, echo) : [];
});

function echo() {
  const socket = new WebSocket(new URL("/echo", location.href).href.replace(/^http/, "ws"));
  socket.onopen = () => socket.send("0");
  socket.onmessage = ({ data }) => { if (socket.readyState === WebSocket.OPEN) socket.send(Number(data) + 1); };
  return socket;
}
