//! The settings of an endpoint, each with its default and the reason for it.

use alloc::vec::Vec;
use core::time::Duration;

use super::extension::PerMessageExtension;
use super::http::HeadLimits;
use crate::proto::sync::Arc;

/// How messages reach the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// Whole, as [`Event::Message`](super::Event::Message).
    #[default]
    Whole,
    /// In pieces as their bytes arrive, as [`Event::Piece`](super::Event::Piece): nothing is
    /// assembled, so memory doesn't grow with the message.
    Streamed,
}

/// A rate of receiving: [`Config::min_receive_rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceiveRate {
    /// Bytes of payload of data frames, as sent.
    pub bytes: u64,
    /// The time they may take.
    pub period: Duration,
}

/// What an endpoint allows and how long it waits. Shared by its connections in an [`Arc`].
///
/// ```
/// use std::time::Duration;
/// use sockeye::proto::Config;
///
/// let mut config = Config::default();
/// config.max_message_size = 64 * 1024;
/// config.idle_timeout = Some(Duration::from_secs(300));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The longest message to receive in bytes, whole or streamed, after any extension's
    /// decoding. A longer one is failed with 1009, where possible at its first frame header.
    ///
    /// Default 1 MiB: what Python's `websockets` takes, more than interactive applications send,
    /// and little enough that a thousand hostile peers hold 1 GiB and not 64.
    pub max_message_size: usize,
    /// The longest frame to receive in bytes of payload as sent.
    ///
    /// Default none: the message limit bounds frames too.
    pub max_frame_size: Option<u64>,
    /// The most frames that one message may come in; more are failed with 1008.
    ///
    /// Default 100,000: a peer that sends 64 KiB in single bytes passes (the Autobahn suite has
    /// such cases), one that sends empty fragments without end does not.
    pub max_fragments: u32,
    /// Whether messages arrive whole or in pieces. Default whole.
    pub delivery: Delivery,
    /// Messages longer than this many bytes are sent in frames of at most this many.
    ///
    /// Default none: one frame for each message, as peers handle best. With an extension, the
    /// message is cut before it is encoded, so the frames' own lengths may differ from this.
    pub fragment_size: Option<core::num::NonZeroUsize>,
    /// A ping is sent when nothing arrived for this long.
    ///
    /// Default 30 s: below the 60 s after which common proxies and NATs drop a silent connection.
    pub ping_interval: Option<Duration>,
    /// How fast a frame or fragmented message that has begun must arrive: while one is incomplete,
    /// this many bytes of data must arrive in each period, or its end; otherwise the connection is
    /// failed with 1008. What arrives whole is never late.
    ///
    /// Default 1 KiB per 30 s: otherwise a peer that sends half a frame, or a message without end,
    /// and then a byte now and then, could hold its memory for as long as it likes. The slowest
    /// honest upload, over GPRS, is a hundred times as fast, also with a gap of 20 s. HTTP servers
    /// require more (Apache 500 bytes a second after 20 s, Kestrel 240 after 5 s), but a WebSocket
    /// message may be written while it is produced. None where peers leave messages unfinished on
    /// purpose.
    pub min_receive_rate: Option<ReceiveRate>,
    /// After a keep-alive ping, anything must arrive within this time; otherwise the connection is
    /// failed with 1011.
    ///
    /// Default 20 s, as Python's `websockets`: long enough for a mobile network's gap.
    pub pong_timeout: Duration,
    /// The connection is failed with 1001 when no data arrived for this long: no byte of a text or
    /// binary message. Pings and pongs don't count; otherwise a peer that answers keep-alive pings
    /// would never be idle.
    ///
    /// Default none: keep-alive pings find dead peers, and a live but silent one is welcome, such
    /// as a subscriber who only listens.
    pub idle_timeout: Option<Duration>,
    /// How long the closing handshake may take, from this endpoint's Close to the end of the
    /// transport.
    ///
    /// Default 10 s, as Python's `websockets`.
    pub close_timeout: Duration,
    /// How long the opening handshake may take in total, from when the first byte is waited for to
    /// the complete head. The body of a plain request has the same time again, and longer while it
    /// arrives: see [`read_body`](super::PlainRequest::read_body).
    ///
    /// Default 10 s: far more than a slow network needs, and a bound on what a peer that sends a
    /// byte now and then can hold.
    pub handshake_timeout: Duration,
    /// The limits on the head of the opening handshake.
    pub head: HeadLimits,
    /// The extensions to offer or to accept. A client offers them in this order, the preferred one
    /// first; a server follows the client's order, and takes its first extension that accepts an
    /// offer. Default none.
    pub extensions: Vec<Arc<dyn PerMessageExtension>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 1024 * 1024,
            max_frame_size: None,
            max_fragments: 100_000,
            delivery: Delivery::Whole,
            fragment_size: None,
            ping_interval: Some(Duration::from_secs(30)),
            min_receive_rate: Some(ReceiveRate {
                bytes: 1024,
                period: Duration::from_secs(30),
            }),
            pong_timeout: Duration::from_secs(20),
            idle_timeout: None,
            close_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            head: HeadLimits::default(),
            extensions: Vec::new(),
        }
    }
}
