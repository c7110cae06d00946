//! WebSocket (RFC 6455): a sans-io protocol core, and on it a mio server and a blocking client.
//!
//! ```text
//!                         ┌──────────────────────────────┐
//!      your application   │  Handler · Socket · Client   │
//!                         └──────┬────────────────┬──────┘
//!                     server     │                │    client
//!        ┌───────────────────────▼──┐   ┌─────────▼───────────────┐
//!        │ Worker ─ Session, Router │   │ connect ─ Client        │
//!        └──────┬─────────────────┬─┘   └─┬─────────────────┬─────┘
//!               │            net  │       │                 │
//!               │        ┌────────▼───────▼────────┐        │
//!               │        │ transports, TLS, clock  │        │
//!               │        └─────────────────────────┘        │
//!     - - - - - │ - - - - - - - - - - - - - - - - - - - - - │ - - below: no sockets, no clock
//!               │            proto                          │
//!        ┌──────▼───────────────────────────────────────────▼─────┐
//!        │ ServerHandshake · ClientHandshake ──► Connection       │
//!        │ http · FrameDecoder · FrameHeader · Utf8Validator · mask│
//!        └────────────────────────────────────────────────────────┘
//! ```
//! Calls go down; a lower ring returns values and never calls up.
//!
//! # Three ways in
//!
//! **Run a server** ([`server`]): routes to handlers, over a mio event loop.
//!
//! ```no_run
//! # #[cfg(feature = "server")] {
//! use sockeye::proto::Message;
//! use sockeye::server::{Handler, Server, Socket};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type State = ();
//!
//!     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
//!         socket.send(message);
//!     }
//! }
//!
//! Server::builder().route("/", Echo).listen("127.0.0.1:9001")?.run()?;
//! # }
//! # Ok::<(), sockeye::Error>(())
//! ```
//!
//! **Connect to one** ([`client`]):
//!
//! ```no_run
//! # #[cfg(feature = "client")] {
//! let mut client = sockeye::client::connect("ws://127.0.0.1:9001/")?;
//! client.send("Hello")?;
//! if let Some(message) = client.recv()? {
//!     println!("{:?}", message.as_text());
//! }
//! client.close(sockeye::proto::CloseCode::NORMAL, "")?;
//! # }
//! # Ok::<(), sockeye::Error>(())
//! ```
//!
//! **Embed the core** ([`proto`]), under an event loop, a runtime or a network stack of yours:
//! bytes in, events and bytes out.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use sockeye::proto::{Config, Connection, Event, Input};
//!
//! let now = Duration::ZERO; // since any fixed origin of yours
//! let mut connection = Connection::server(Arc::new(Config::default()), now);
//!
//! // A masked text frame, "Hello", as it comes from a socket (RFC 6455 section 5.7).
//! let mut received = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let mut out = Vec::new(); // to be written to the socket
//! let mut input = Input::new(&mut received);
//! let result = loop {
//!     match connection.recv(&mut input, &mut out, now) {
//!         Ok(Some(Event::Message(message))) => connection.send(&message, &mut out)?,
//!         Ok(Some(_)) => {}
//!         Ok(None) => break Ok(()),
//!         Err(fault) => break Err(fault),
//!     }
//! };
//! // Now write `out`, also after a fault: it holds the Close that tells the peer.
//! assert_eq!(out, b"\x81\x05Hello");
//! # result?;
//! # Ok::<(), sockeye::Error>(())
//! ```
//!
//! The layers of the core are useful alone, too: [`proto::mask`], [`proto::Utf8Validator`],
//! [`proto::FrameHeader`], [`proto::FrameDecoder`], [`proto::http`].
//!
//! # Guide
//!
//! [The guide](guide/index.html) has a chapter for each task: a server in ten steps, authentication, TLS,
//! proxies, limits, testing, and the core in your own event loop.
//!
//! # Errors
//!
//! One [`Error`], sorted by who is at fault: the peer broke the protocol ([`Error::Protocol`]), it
//! went over a limit of an open connection ([`Error::Limit`]), the opening handshake failed, also by a
//! head over its limits ([`Error::Handshake`]), the application asked for what can't be
//! ([`Error::Misuse`], and `Error::Build` for a server), a proxy refused a client (`Error::Proxy`), the
//! transport broke (`Error::Io`, `Error::Tls`).
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `server` | [`server`], on mio | yes |
//! | `client` | [`client`], and the operating system's random source | yes |
//! | `json` | `server::json`: named events with data typed by serde, and acknowledgements | yes |
//! | `cli` | the program `sockeye`: `sockeye bench` loads a server and checks what comes back | no |
//! | `files` | `server::http::Files`: a folder's files over plain HTTP | no |
//! | `deflate` | `proto::Deflate`: permessage-deflate (RFC 7692) | no |
//! | `tls` | `wss://`: TLS under server and client, on rustls | no |
//! | `signals` | on Unix the server stops on SIGINT and SIGTERM, or drains, and reads its certificates again on SIGHUP | no |
//! | `tracing` | events and spans of the server through `tracing`; those that peers cause, of connections and of requests, are each limited to ten a second, a hundred at once | no |
//! | `testing` | `server::testing`: applications tested without sockets and real time | no |
//! | `simd` | simdutf8 under the UTF-8 validator and AVX2 under masking, with the same results; recommended for servers | no |
//!
//! Without any, the crate is [`proto`] and [`error`], `no_std` with `alloc`, on sha1_smol and
//! base64 alone.
#![no_std]
// docs.rs marks what a feature adds; that takes a nightly rustdoc.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(
    feature = "server",
    feature = "client",
    feature = "deflate",
    feature = "simd",
    feature = "tls",
    test
))]
extern crate std;

#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[cfg(all(
    any(doc, doctest),
    feature = "server",
    feature = "client",
    feature = "json",
    feature = "deflate",
    feature = "testing",
    feature = "tls",
))]
pub mod guide;
#[cfg(any(feature = "server", feature = "client"))]
mod net;
pub mod proto;
#[cfg(feature = "server")]
pub mod server;

pub use error::Error;
/// rustls, whose configurations the server and the client take.
#[cfg(feature = "tls")]
pub use rustls;

/// The examples of the README compile and hold.
#[cfg(all(doctest, feature = "server", feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
