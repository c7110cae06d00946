/**
 * Named events in JSON with a Sockeye server (the crate's `server::json`), from a browser, over a
 * connection that comes back by itself.
 *
 * Types of the events are given as functions, those of what is received and those of what is sent:
 *
 * ```ts
 * import { connect } from "./sockeye.js";
 *
 * interface Receives { said(data: { from: string; text: string }): void }
 * interface Sends { say(data: { text: string }): { id: number } }
 *
 * const chat = connect<Receives, Sends>("/chat");
 * chat.on("said", ({ from, text }) => console.log(from, text));
 * const { id } = await chat.request("say", { text: "Hello" });
 * ```
 */

/** Events by name: what their data is, and what an acknowledgement of one brings. */
export type AnyEvents = Record<string, (data: any) => any>;

type Name<Events> = keyof Events & string;
type Data<Event> = Event extends (data: infer D) => any ? D : never;
type Reply<Event> = Event extends (data: any) => infer R ? R : never;
/** What may be left out, if an event has no data. */
type Given<Event> = undefined extends Data<Event> ? [data?: Data<Event>] : [data: Data<Event>];

/** A position in the order of a topic's messages: that of the crate's `server::topics::Position`. */
export interface Position {
  readonly epoch: number;
  readonly offset: number;
}

/**
 * - `connecting`: the handshake is under way, or `start`, or subscriptions are asked for again;
 * - `open`: events are sent at once;
 * - `waiting`: for the next attempt to connect;
 * - `closed`: for good.
 */
export type State = "connecting" | "open" | "waiting" | "closed";

/** The detail of the event `state`. */
export interface StateChange {
  readonly state: State;
  /** The close code that ended the last connection, for `waiting` and `closed`; 1006 without a Close. */
  readonly code?: number;
  /** The reason beside it. */
  readonly reason?: string;
  /** How long until the next attempt, in milliseconds, for `waiting`. */
  readonly wait?: number;
  /** How many attempts in a row have failed, for `connecting` and `waiting`. */
  readonly attempt?: number;
}

/**
 * An error that the server told, or one of:
 *
 * - `timeout`: no acknowledgement came in time. The server may have handled the event all the same;
 * - `lost`: the connection was lost before the acknowledgement came; the same holds;
 * - `full`: too much waits already; nothing was sent;
 * - `closed`: `close` was called, or the server closed for good.
 *
 * One that a handler throws is what the server is told; of any other error it only hears `internal`.
 */
export class SockeyeError extends Error {
  constructor(code: string, message: string);
  readonly code: string;
}

export interface Options {
  /** The wait before the second attempt to connect, in milliseconds; it doubles with each. Default 500. */
  minWait?: number;
  /** The longest wait, in milliseconds. Default 30,000. Each is shortened by up to half, by chance. */
  maxWait?: number;
  /** How long an acknowledgement is waited for, in milliseconds; Infinity for ever. Default 10,000. */
  timeout?: number;
  /** How many events wait at most while there is no connection. Default 256. */
  maxQueue?: number;
  /** How many bytes wait at most in the browser while there is one. Default 1 MiB. */
  maxBuffered?: number;
  /** Subprotocols to offer. */
  protocols?: string | string[];
  /**
   * Whether to connect again. By default after 1001, 1006 and 1011 to 1014, which say that a server or
   * the network failed; other codes (1000, 1008, an application's 4000 to 4999) end it.
   */
  retry?(close: { code: number; reason: string }): boolean;
  /**
   * Begins each connection, before anything else is sent: where one signs in. An error gives the
   * connection up, and the next attempt follows.
   */
  start?(request: (event: string, data?: unknown, options?: RequestOptions) => Promise<any>): unknown;
}

export interface RequestOptions {
  /** How long to wait for the acknowledgement, in milliseconds, the time without a connection included. */
  timeout?: number;
  /**
   * Whether to send it again on the next connection, if the last one was lost before the acknowledgement.
   * The server may then get it twice: a key in the data tells. Default false: it fails with `lost`.
   */
  resend?: boolean;
  /** Gives up when it is aborted; what has been sent isn't called back. */
  signal?: AbortSignal;
}

export interface SubscribeOptions {
  /** What was seen of the topic before, by an earlier page. Default: nothing. */
  since?: Position;
  /** More members for what the server is asked. */
  data?: object;
  /**
   * Called with the server's reply each time that the subscription has begun: the first time, and on
   * each later connection. `complete: false` in it says that something was missed for good.
   */
  joined?(reply: any): void;
  /** Called when the server refuses, which ends the subscription. Default: the event `error`. */
  refused?(error: SockeyeError): void;
}

export interface Subscription {
  readonly topic: string;
  /** The last that was seen of the topic: where the next connection goes on. */
  readonly position?: Position;
  unsubscribe(): void;
}

/** What an event was sent with besides its data. */
export interface About {
  readonly topic?: string;
  readonly position?: Position;
}

export interface Sockeye<Receives = AnyEvents, Sends = AnyEvents> extends EventTarget {
  readonly state: State;

  /**
   * Handles an event; returns a function that ends that. If the server asks for an acknowledgement, it
   * gets what the first handler with a result returns, or an error: the handler's, or `unknown_event`.
   * An event of a topic that was seen before (by its position) is not handled again.
   */
  on<E extends Name<Receives>>(
    event: E,
    handler: (data: Data<Receives[E]>, about: About) => Reply<Receives[E]> | Promise<Reply<Receives[E]>> | void,
  ): () => void;

  /** Sends an event, now or once there is a connection; returns false if too much waits already. */
  emit<E extends Name<Sends>>(event: E, ...data: Given<Sends[E]>): boolean;

  /** Sends an event, and resolves to what it is acknowledged with. It fails with a {@link SockeyeError}. */
  request<E extends Name<Sends>>(event: E, data: Data<Sends[E]>, options?: RequestOptions): Promise<Reply<Sends[E]>>;

  /**
   * Subscribes to a topic on this connection and all later ones: sends the event `subscribe` with the topic and, as
   * `since`, the position of the last message of it that was seen. A second subscription of a topic
   * takes the place of the first.
   */
  subscribe(topic: string, options?: SubscribeOptions): Subscription;

  /** Closes for good. What still waits fails with `closed`. */
  close(code?: number, reason?: string): void;

  /** Each change of the state. */
  addEventListener(type: "state", listener: (event: CustomEvent<StateChange>) => void, options?: AddEventListenerOptions): void;
  /** An error that no request is told: the server's own, one of a handler, or of connecting. */
  addEventListener(type: "error", listener: (event: CustomEvent<Error>) => void, options?: AddEventListenerOptions): void;
  /** A binary message. */
  addEventListener(type: "binary", listener: (event: CustomEvent<Blob>) => void, options?: AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/**
 * Connects to a URL: one of `ws:` or `wss:`, or relative to the page's. A function is called for each
 * attempt, so that a token in the URL is a fresh one.
 */
export function connect<Receives = AnyEvents, Sends = AnyEvents>(
  url: string | URL | (() => string | URL | Promise<string | URL>),
  options?: Options,
): Sockeye<Receives, Sends>;
