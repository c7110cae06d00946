// The client's types, as a page in TypeScript has them: tsc compiles this and runs nothing.
import { connect, SockeyeError, type Position, type StateChange } from "../../browser/sockeye.js";

interface Receives {
  said(data: { from: string; text: string }): void;
  ready(data: { deadline: number }): boolean;
}
interface Sends {
  say(data: { text: string }): { id: number };
  typing(data: boolean): void;
  leave(data?: undefined): void;
}

const chat = connect<Receives, Sends>(() => "/chat", {
  minWait: 100,
  retry: ({ code }) => code === 4001,
  start: async (request) => {
    await request("sign_in", { token: "…" }, { timeout: 1000 });
  },
});

export const off: () => void = chat.on("said", ({ from, text }, { topic, position }) => {
  const at: Position | undefined = position;
  console.log(from.length, text.length, topic?.length, at?.offset);
});
chat.on("ready", async ({ deadline }) => deadline > 0);
// @ts-expect-error: it is asked for a boolean
chat.on("ready", () => "yes");
// @ts-expect-error: there is no such event
chat.on("sad", () => {});

export const sent: boolean = chat.emit("typing", true);
chat.emit("leave");
// @ts-expect-error: a boolean
chat.emit("typing", "yes");
// @ts-expect-error: it has data
chat.emit("say");

export async function say(text: string): Promise<number> {
  try {
    const { id } = await chat.request("say", { text }, { resend: true, signal: AbortSignal.timeout(1000) });
    return id;
  } catch (error) {
    if (error instanceof SockeyeError && error.code === "timeout") return -1;
    throw error;
  }
}

const room = chat.subscribe("blue", {
  since: { epoch: 1, offset: 7 },
  data: { name: "ann" },
  joined: ({ complete }) => console.log(complete),
  refused: ({ code }) => console.log(code),
});
export const seen: Position | undefined = room.position;
// @ts-expect-error: the client moves it
room.position = undefined;
room.unsubscribe();

chat.addEventListener("state", ({ detail }) => {
  const change: StateChange = detail;
  if (change.state === "waiting") console.log(change.wait, change.code, change.attempt);
  // @ts-expect-error: there is no such state
  console.log(change.state === "away");
});
chat.addEventListener("error", ({ detail }) => console.log(detail.message));
// @ts-expect-error: it is told, not set
chat.state = "open";
chat.close(4000, "done");

const loose = connect("wss://example.com/any");
loose.on("anything", (data) => data.whatever);
loose.request("anything", [1, 2]).then((reply) => reply.whatever);
