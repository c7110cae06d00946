import { $, grouped, line, short, watch } from "/common.js";
import { connect } from "/sockeye.js";

// The prices of the line: half a minute of them, at the server's four a second.
const SPARK = 120;
// As many fill its width: it grows closer from then on.
const FEWEST = 24;

const live = connect("/live");
watch(live);
let before = null;
live.on("stats", ({ stats, memory }) => {
  const seconds = before ? stats.uptime_seconds - before.uptime_seconds : 0;
  const count = ({ messages_received, messages_sent }) => messages_received + messages_sent;
  $("connections").textContent = grouped(stats.connections);
  $("messages").textContent = seconds > 0 ? short((count(stats) - count(before)) / seconds) : "–";
  $("memory").textContent = memory === null ? "–" : short(memory, "B");
  const minutes = Math.floor(stats.uptime_seconds / 60);
  $("uptime").textContent = minutes ? `${grouped(minutes)} min` : `${Math.floor(stats.uptime_seconds)} s`;
  before = stats;
});
// A server that was restarted counts anew.
live.addEventListener("state", ({ detail }) => { if (detail.state === "waiting") before = null; });

const prices = [];
const feed = connect("/feed", { start: (request) => request("subscribe", ["prices/SOCKEYE"]) });
feed.on("update", ({ data: { price } }) => {
  prices.push(price);
  if (prices.length > SPARK) prices.shift();
  $("spark").firstElementChild.setAttribute("d", line(prices, 300, 44, Math.max(prices.length, FEWEST), Math.min(...prices), Math.max(...prices)));
});
