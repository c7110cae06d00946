//! permessage-deflate (RFC 7692 section 7).
//!
//! Here are the settings, [`Deflate`], and their place in the hook. What the two endpoints agree
//! on is in `negotiate.rs`, the two directions in `encode.rs` and `decode.rs`, contexts that
//! connections share in `pool.rs`. Frames, fragments and UTF-8 are the connection's.

mod decode;
mod encode;
mod negotiate;
mod pool;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::{Extension, ExtensionOffer, PerMessage, PerMessageExtension, PreparedKey, PreparedUse};
use crate::proto::frame::Rsv;
use decode::Decoder;
use encode::Encoder;
use negotiate::{Agreed, NAME};

/// The size of an LZ77 sliding window as a power of two: 9 to 15 for 512 to 32,768 bytes
/// (RFC 7692 section 7.1.2).
///
/// The RFC also has 8, at which zlib can't compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 9 bits, 512 bytes.
    pub const MIN: Self = Self(9);
    /// 15 bits, 32,768 bytes: what holds where nothing is negotiated.
    pub const MAX: Self = Self(15);

    /// None outside 9 to 15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            9..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The number, 9 to 15.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How hard to compress: zlib's levels 1 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// 1, the fastest.
    pub const FASTEST: Self = Self(1);
    /// 9, the smallest output.
    pub const SMALLEST: Self = Self(9);

    /// None outside 1 to 9.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        match level {
            1..=9 => Some(Self(level)),
            _ => None,
        }
    }

    /// The number, 1 to 9.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The permessage-deflate extension (RFC 7692), to be put into
/// [`Config::extensions`](crate::proto::Config::extensions).
///
/// ```
/// use std::sync::Arc;
/// use sockeye::proto::{Config, Deflate, Level};
///
/// let mut deflate = Deflate::shared();
/// deflate.level = Level::new(6).unwrap();
/// let mut config = Config::default();
/// config.extensions.push(Arc::new(deflate));
/// ```
///
/// # Memory
/// With context takeover a connection keeps the contexts to refer to earlier messages: small
/// messages that resemble each other shrink to a third instead of four fifths, and each connection
/// has its own contexts from its first compressed message on. The heap that a server's connection
/// holds, in bytes (`tests/deflate/memory.rs`):
///
/// | agreed on                         | compressed messages received | and sent |
/// |-----------------------------------|------------------------------|----------|
/// | takeover both ways, 15 bits       | 48,000                       | 428,000  |
/// | the same, server's window 12 bits | 48,000                       | 313,000  |
/// | the same, server's window 9 bits  | 48,000                       | 299,000  |
/// | `client_no_context_takeover`      | 392                          | 380,000  |
/// | `server_no_context_takeover`      | 48,000                       | 48,000   |
/// | both ([`shared`](Self::shared))   | 392                          | 392      |
///
/// A connection that received nothing for a [`ping_interval`](crate::proto::Config::ping_interval),
/// and has compressed nothing since the one before, frees its compressor: a new one fits any peer.
/// The inflater must stay, since the peer may refer to what it sent.
///
/// Without takeover the connections of a thread share contexts: the thread keeps at most eight idle
/// ones for each direction. The inflater has a window of 32 KiB whatever was agreed on, so a small
/// `client_max_window_bits` saves a server nothing.
///
/// # Secrets
/// RFC 7692 section 9: the length of a compressed message reveals something about its content. Send
/// what mixes a secret with what an attacker may choose by
/// [`Encoding::Plain`](crate::proto::Encoding::Plain).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Deflate {
    /// The server compresses each message independently (RFC 7692 section 7.1.1.1). A server with
    /// it set responds so to every offer; a client with it set asks for it, and fails a handshake
    /// whose response omits it. Default false.
    pub server_no_context_takeover: bool,
    /// The client compresses each message independently (RFC 7692 section 7.1.1.2). A server with
    /// it set demands it, a client with it set does so unasked. Default false.
    pub client_no_context_takeover: bool,
    /// The largest window of the server (RFC 7692 section 7.1.2.1). A small one costs a server
    /// time: JSON of 200 B to 1 KiB takes two to four times as long to compress at 12 bits, four
    /// times and more at 9 (`benches/deflate.rs`). Default 15.
    pub server_max_window_bits: WindowBits,
    /// The largest window of the client (RFC 7692 section 7.1.2.2). A client that doesn't offer the
    /// parameter can't be limited and may use 15. Default 15.
    pub client_max_window_bits: WindowBits,
    /// How hard to compress.
    ///
    /// Default 1, which saves seven to nine tenths of what level 6 saves, in a ninth to less than
    /// half of the time. If the network costs more than the processor, or messages are large or
    /// [prepared](crate::proto::PreparedMessage) for many, take 2 or 6. `docs/performance.md` in
    /// the repository has the times and sizes of each.
    pub level: Level,
    /// Messages of fewer bytes are sent as they are.
    ///
    /// Default 128: without takeover JSON of 100 bytes keeps 93 % of them, for 5 µs; with it
    /// some 60 bytes would be saved of a packet that has 40 and more of headers.
    pub threshold: usize,
    /// How a connection with context takeover sends a
    /// [`PreparedMessage`](crate::proto::PreparedMessage); one without takes the shared bytes. A
    /// connection whose window is smaller than `server_max_window_bits` takes the plain ones,
    /// unless this is [`Each`](PreparedUse::Each).
    ///
    /// Default [`Shared`](PreparedUse::Shared): one compression for all, however many. The
    /// connection's next own message then refers to nothing before it. `Each` compresses once per
    /// connection, for the smallest output; `Plain` keeps the context for the connection's own
    /// messages.
    pub prepared: PreparedUse,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
            level: Level(1),
            threshold: 128,
            prepared: PreparedUse::Shared,
        }
    }
}

impl Deflate {
    /// No context takeover in either direction: connections hold no context between messages, and
    /// those of one thread share a few. The defaults otherwise.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..Self::default()
        }
    }

    fn codec(&self, sends: Direction, receives: Direction) -> PerMessage {
        let encoder = Encoder::new(self, sends);
        let decoder = Decoder::new(receives.takeover);
        PerMessage::new(Rsv::RSV1, Box::new(encoder), Box::new(decoder))
    }
}

/// What was agreed on for the messages of one endpoint.
#[derive(Clone, Copy)]
struct Direction {
    takeover: bool,
    /// None for the window of 8 bits.
    window: Option<WindowBits>,
}

impl PerMessageExtension for Deflate {
    fn offers(&self) -> Vec<Extension> {
        alloc::vec![self.offer()]
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        if offer.name() != NAME {
            return None;
        }
        let agreed = self.judge_offer(offer)?;
        let codec = self.codec(agreed.server, agreed.client);
        Some((agreed.response?, codec))
    }

    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        (response.name() == NAME).then(|| {
            let Agreed { client, server, .. } = self.judge_response(response)?;
            Ok(self.codec(client, server))
        })
    }

    fn prepare(&self, payload: &[u8]) -> Option<(PreparedKey, Vec<u8>)> {
        if payload.len() < self.threshold {
            return None;
        }
        let window = self.server_max_window_bits;
        let payload = encode::compress_once(payload, self.level, window)?;
        let key = PreparedKey {
            extension: NAME,
            rsv: Rsv::RSV1,
            key: window.bits().into(),
        };
        Some((key, payload))
    }
}

/// Has `write` append up to `room` bytes; it returns how many it wrote. Only these are made ready:
/// what flate2 has for a `Vec` fills the rest of its capacity with zeros at each call, which in a
/// buffer that held a large message before takes longer than a short one.
fn append<R>(out: &mut Vec<u8>, room: usize, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
    let start = out.len();
    out.resize(start + room, 0);
    let (written, result) = write(&mut out[start..]);
    out.truncate(start + written);
    result
}
