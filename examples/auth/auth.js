import { $, make, status } from "/common.js";
import { connect } from "/sockeye.js";

let session = null;

$("in").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  try {
    await signIn($("how").value, $("path").value);
  } catch (error) {
    note(`No token: ${error.message}`, "wrong");
  }
});

async function signIn(how, path) {
  const token = how === "none" ? "" : how === "wrong" ? "not.a.token" : await fetchToken();
  const former = session;
  session = null;
  former?.close();
  signedIn(null);
  status("Connecting …");
  const inMessage = how === "message" || how === "wrong";
  const mine = session = connect(how === "query" ? `${path}?token=${encodeURIComponent(token)}` : path, {
    // A page can set no header: the token is the first message of each connection.
    start: async (request) => inMessage && signedIn(await request("sign_in", { token })),
  });
  // What a former session still has to say is of no interest.
  const current = (act) => (event) => mine === session && act(event);
  mine.on("signed_in", current(signedIn));
  mine.on("posted", current(({ user, text }) => note(text, "", user)));
  mine.addEventListener("error", current(({ detail }) => detail.code !== "lost" && note(`The server says: ${detail.message}`, "wrong")));
  mine.addEventListener("state", current(({ detail: { state, code, reason } }) => {
    if (state === "open" && how === "none") note("Connected. The server waits ten seconds for a token …");
    if (state === "waiting") signedIn(null), status("Not connected. Reconnecting …");
    if (state !== "closed") return;
    session = null;
    signedIn(null);
    note(`Closed with ${code}${reason && `: ${reason}`}`, code === 1000 ? "notice" : "wrong");
  }));
}

async function fetchToken() {
  const body = JSON.stringify({ user: $("name").value, role: $("role").value });
  const answer = await (await fetch("/token", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  if (answer.error) throw new Error(answer.error);
  return answer.token;
}

function signedIn(who) {
  for (const control of [$("text"), $("list"), $("out"), $("post").querySelector("button")]) control.disabled = !who;
  status(who ? `${who.user}, ${who.role}` : "Nobody is signed in", Boolean(who));
  if (!who) return;
  const until = new Date(who.expires * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  note(`Signed in as ${who.user}, ${who.role}, until ${until}.`);
  $("text").focus();
}

async function ask(event, data, answered) {
  try {
    answered(await session.request(event, data));
  } catch (error) {
    note(`The server says: ${error.message}`, "wrong");
  }
}

$("post").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  ask("post", { text: $("text").value }, () => { $("text").value = ""; });
});
$("list").addEventListener("click", () => ask("sessions", null, (users) => note(`Signed in: ${users.join(", ")}`)));
$("out").addEventListener("click", () => session.close());

function note(text, className = "notice", from = "") {
  $("log").append(make("li", className, ...(from ? [make("b", "", `${from}: `)] : []), text));
  $("log").scrollTop = $("log").scrollHeight;
}
