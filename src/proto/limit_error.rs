//! The limits that a peer can exceed once the connection is open.
//!
//! Owns the errors and their texts. `config.rs` has the limits themselves.

use core::fmt;
use core::time::Duration;

/// The peer exceeded a limit that this endpoint set in its [`Config`](super::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitError {
    /// A frame header announced more payload than `max_frame_size`.
    FrameSize {
        /// Bytes announced.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A message is, or by its frame headers would become, longer than `max_message_size`.
    MessageSize {
        /// Bytes allowed.
        limit: usize,
    },
    /// A message came in more frames than `max_fragments`.
    Fragments {
        /// Frames allowed.
        limit: u32,
    },
    /// An incomplete frame or message arrived more slowly than `min_receive_rate`.
    ReceiveRate {
        /// Bytes required in each period.
        bytes: u64,
        /// The period.
        period: Duration,
    },
    /// No data arrived for `idle_timeout`.
    Idle {
        /// The time allowed.
        timeout: Duration,
    },
    /// Nothing arrived for `pong_timeout` after a keep-alive ping.
    Pong {
        /// The time allowed.
        timeout: Duration,
    },
    /// The peer did not answer a Close within `close_timeout`.
    Close {
        /// The time allowed.
        timeout: Duration,
    },
}

impl LimitError {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::FrameSize { .. } => "frame too long",
            Self::MessageSize { .. } => "message too long",
            Self::Fragments { .. } => "message in too many frames",
            Self::ReceiveRate { .. } => "message arrives too slowly",
            Self::Idle { .. } => "idle for too long",
            Self::Pong { .. } => "no answer to a ping",
            // No Close is sent after a Close.
            Self::Close { .. } => "",
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameSize { length, limit } => write!(
                f,
                "a frame announced {length} bytes and max_frame_size is {limit}"
            ),
            Self::MessageSize { limit } => {
                write!(
                    f,
                    "a message is longer than max_message_size, {limit} bytes"
                )
            }
            Self::Fragments { limit } => {
                write!(f, "a message came in more than max_fragments, {limit}")
            }
            Self::ReceiveRate { bytes, period } => write!(
                f,
                "an incomplete frame or message went on more slowly than min_receive_rate, {bytes} \
                 bytes in {period:?}"
            ),
            Self::Idle { timeout } => {
                write!(f, "no data arrived for idle_timeout, {timeout:?}")
            }
            Self::Pong { timeout } => write!(
                f,
                "nothing arrived for pong_timeout, {timeout:?}, after a keep-alive ping"
            ),
            Self::Close { timeout } => write!(
                f,
                "the peer did not answer a Close within close_timeout, {timeout:?}"
            ),
        }
    }
}

impl core::error::Error for LimitError {}
