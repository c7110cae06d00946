//! The sans-io core: RFC 6455 on byte slices.
//!
//! No sockets, no clock, no threads, no entropy source; `no_std` with `alloc`. Bytes come in as
//! `&mut [u8]`, go out into a `Vec<u8>`, and time is an argument.
//!
//! ```text
//!            bytes from the peer                       bytes to the peer
//!                    │                                         ▲
//!   Input ───────────▼───────────┐             ┌───────────────┴─────────────── out
//!        │ ServerHandshake::recv │── request ─►│ accept / reject               │
//!        │ ClientHandshake::recv │             │ ClientHandshake::new          │
//!        └───────────┬───────────┘             └───────────────────────────────┘
//!                    │ Connection
//!        ┌───────────▼───────────┐             ┌───────────────────────────────┐
//!        │ Connection::recv      │── pong ────►│ Connection::send, send_ping,  │
//!        │  FrameDecoder  (mask) │   close     │ send_fragment, close, …       │
//!        │  assembler  (UTF-8,   │             │  (FrameHeader::encode, mask)  │
//!        │   extension, limits)  │             └───────────────▲───────────────┘
//!        └───────────┬───────────┘                             │
//!                    ▼ Event                              the application
//! ```
//!
//! # The run loop
//!
//! Two endpoints and the bytes between them; a socket would stand where `client_out` and
//! `server_out` are. [`examples/sansio.rs`] is the same with the closing handshake, and
//! [`examples/embed.rs`] a complete server over blocking sockets, with deadlines, faults and both
//! ways to end.
//!
//! [`examples/sansio.rs`]: https://docs.rs/crate/sockeye/latest/source/examples/sansio.rs
//! [`examples/embed.rs`]: https://docs.rs/crate/sockeye/latest/source/examples/embed.rs
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use sockeye::proto::*;
//!
//! let now = Duration::ZERO; // since any fixed origin of yours
//! let config = Arc::new(Config::default());
//! # fn os_random(bytes: &mut [u8]) { bytes.fill(7) }
//!
//! // The client writes its request, …
//! let url = Url::parse("ws://example.com/chat")?;
//! let mut client_out = Vec::new();
//! let mut client = ClientHandshake::new(
//!     &url, &ClientRequest::default(), config.clone(), Box::new(os_random), &mut client_out, now)?;
//!
//! // … the server reads and accepts it, …
//! let mut server_out = Vec::new();
//! let server = ServerHandshake::new(config, now);
//! let Received::Upgrade(upgrade) =
//!     server.recv(&mut Input::new(&mut client_out), &mut server_out, now)?
//! else {
//!     panic!("a whole opening handshake");
//! };
//! let mut server = upgrade.accept(&Accept::default(), &mut server_out, now)?;
//!
//! // … the client checks the response, and sends a message.
//! let mut client = client.recv(&mut Input::new(&mut server_out), now)?.expect("a whole response");
//! client_out.clear();
//! client.send("Hello", &mut client_out)?;
//!
//! // The server's loop: bytes in, events out, replies appended.
//! server_out.clear();
//! let mut input = Input::new(&mut client_out);
//! let result = loop {
//!     match server.recv(&mut input, &mut server_out, now) {
//!         Ok(Some(Event::Message(message))) => server.send(&message, &mut server_out)?,
//!         Ok(Some(_)) => {}
//!         Ok(None) => break Ok(()), // all input is consumed
//!         Err(fault) => break Err(fault),
//!     }
//! };
//! // Now write `server_out`, also after a fault: it then holds the Close that tells the peer. Then
//! // follow `server.teardown()`, and call `handle_timeout` when `poll_timeout` says so.
//! assert_eq!(server_out, b"\x81\x05Hello");
//! # result?;
//! # Ok::<(), sockeye::Error>(())
//! ```
//!
//! # The read buffer
//!
//! Its length is your choice. Reads of 64 KiB save system calls, which at a socket cost more than
//! everything done here. If reading costs no more than the copy, 16 to 24 KiB stay in the first
//! level cache, and messages of 1 KiB take seven tenths of the time. The bytes of a message that
//! doesn't fit in one read are copied once more, to where it is assembled. [`Scratch`] says how to
//! save that copy, and the allocation.
//!
//! # What holds
//!
//! 1. However the input is split, events (streamed pieces joined) and output are the same.
//! 2. Memory follows the bytes received, never the bytes claimed. An idle connection owns no
//!    buffer.
//! 3. Work is linear in the bytes received, however they are fragmented.
//! 4. A fault is reported at the first byte that proves it, a length over a limit at the end of
//!    its header.
//! 5. One mapping from fault to close code ([`Fault::close_code`]); the
//!    Close is queued by the core; the fault sticks.
//! 6. Every ping is answered, in order; fragments are counted; decoded size is limited as it
//!    grows.
//! 7. Nothing is lenient.

mod assembler;
mod close;
mod config;
mod connection;
mod decoder;
mod encoder;
mod event;
mod extension;
mod fault;
mod frame;
mod handshake;
pub mod http;
mod input;
mod limit_error;
mod mask;
mod message;
mod message_ref;
mod misuse;
mod negotiated;
mod prepared;
mod protocol_error;
mod random;
mod sync;
mod teardown;
mod timer;
mod timestamp;
mod url;
mod utf8;

pub use close::{CloseCode, CloseFrame, Closed, MAX_REASON_LENGTH};
pub use config::{Config, Delivery, ReceiveRate};
pub use connection::{Connection, Frame, OutgoingPayload, Scratch, Space};
pub use decoder::{FrameDecoder, FramePiece};
pub use event::Event;
pub use extension::{
    DecodeError, Encoding, Extension, ExtensionOffer, ExtensionOffers, ExtensionParam,
    ExtensionParams, GrammarError, PerMessage, PerMessageDecode, PerMessageEncode,
    PerMessageExtension, PreparedKey, PreparedUse, parse_extensions,
};
#[cfg(feature = "deflate")]
pub use extension::{Deflate, Level, WindowBits};
pub use fault::Fault;
pub use frame::{
    EncodedHeader, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LENGTH, Opcode, Role, Rsv,
};
pub use handshake::{
    Accept, ClientHandshake, ClientRequest, Foreign, HandshakeError, Origins, PartialRequest,
    PlainRequest, ReadBody, Received, Refused, Request, RequestError, Responded, Response,
    ResponseError, ResponseFault, ServerHandshake, Unanswered, Upgrade, accept_key, percent_decode,
    query_params,
};
pub use input::Input;
pub use limit_error::LimitError;
pub use mask::mask;
pub use message::{Message, MessageKind, MessagePiece, Payload};
pub use message_ref::MessageRef;
pub use misuse::Misuse;
pub use negotiated::Negotiated;
pub use prepared::PreparedMessage;
pub use protocol_error::ProtocolError;
pub use random::RandomSource;
pub use sync::Arc;
pub use teardown::{Linger, LingerStep, Teardown};
pub use timestamp::Timestamp;
pub use url::{Url, UrlError};
pub use utf8::{Utf8Error, Utf8Validator, validate_utf8};
