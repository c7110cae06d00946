// What the applications' pages share.

export const $ = (id) => document.getElementById(id);

// An element with a text: textContent only, so that no text becomes markup.
export function make(tag, className = "", ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

export function svg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Said once, and not each second, to who hears the page.
export function status(text, open = false) {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").classList.toggle("open", open);
}

// Shows the state of a connection.
export function watch(client) {
  client.addEventListener("state", ({ detail: { state, attempt, code, reason } }) => {
    if (state === "open") status("Connected", true);
    else if (state === "waiting") status(`Not connected. Reconnecting, attempt ${attempt} …`);
    else if (state === "closed") status(`Closed with ${code}${reason && `: ${reason}`}`);
    else if (attempt === 0) status("Connecting …");
  });
  client.addEventListener("error", ({ detail }) => console.warn(detail));
}

// A number in three digits: 12.3 k, 4.56 MB.
export function short(value, unit = "") {
  for (const [size, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${prefix}${unit}`;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)}${unit && ` ${unit}`}`;
}

export const grouped = (value) => value.toLocaleString("en");

// The path of a line through values, in a box of this size; the newest is at the right end of `slots`,
// the places that there are.
export function line(values, width, height, slots, low, high) {
  const span = high - low || 1;
  const first = slots - values.length;
  return values.map((value, at) => {
    const x = (first + at) / (slots - 1) * width;
    const y = height - (value - low) / span * height;
    return `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}
