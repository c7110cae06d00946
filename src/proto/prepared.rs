//! Messages that are encoded once and sent on many connections.
//!
//! Owns the frames. A connection's encoder decides which of them it uses, and sending them is left
//! to the connection.

use alloc::vec::Vec;

use super::config::Config;
use super::extension::{PerMessage, PreparedKey, PreparedUse};
use super::frame::{FrameHeader, Rsv};
use super::message::MessageKind;
use crate::proto::message_ref::MessageRef;
use crate::proto::sync::Arc;

/// A message that a server sends to many: its frame, and another one from each of the
/// configuration's extensions that has an encoding for all connections
/// ([`PerMessageExtension::prepare`](super::PerMessageExtension::prepare)).
///
/// Sent by [`Connection::send_prepared`](super::Connection::send_prepared) and, without a copy,
/// [`share_prepared`](super::Connection::share_prepared). Making it is the whole cost, whether
/// or not a connection takes the encoded form; a clone shares the bytes.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Config, Connection, PreparedMessage};
///
/// let config = Arc::new(Config::default());
/// # let mut subscribers = [Connection::server(config.clone(), Duration::ZERO)];
/// let news = PreparedMessage::new("news", &config);
/// for subscriber in &mut subscribers {
///     let mut out = Vec::new();
///     subscriber.send_prepared(&news, &mut out)?;
/// #   assert_eq!(out, b"\x81\x04news");
/// }
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    kind: MessageKind,
    /// The frame of the message as it is.
    plain: Arc<[u8]>,
    /// The offset of its payload.
    start: usize,
    encoded: Vec<(PreparedKey, Arc<[u8]>)>,
}

impl PreparedMessage {
    /// Encodes a message for the connections of this configuration.
    #[must_use]
    pub fn new<'m>(message: impl Into<MessageRef<'m>>, config: &Config) -> Self {
        let message = message.into();
        let (kind, payload) = (message.kind(), message.as_bytes());
        let plain = frame(kind, Rsv::NONE, payload);
        let encoded = config.extensions.iter().filter_map(|it| {
            let (key, payload) = it.prepare(payload)?;
            Some((key, frame(kind, key.rsv, &payload)))
        });
        Self {
            kind,
            start: plain.len() - payload.len(),
            plain,
            encoded: encoded.collect(),
        }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The message's bytes, not encoded.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.plain[self.start..]
    }

    /// The frame of a connection without extensions, the same for all of a server's that have none;
    /// see [`Connection::plain_below`](super::Connection::plain_below).
    #[must_use]
    #[inline]
    pub fn frame(&self) -> &Arc<[u8]> {
        &self.plain
    }

    /// The frame that a connection with this extension uses; None if it needs its own.
    pub(super) fn choose(&self, extension: &mut PerMessage) -> Option<&Arc<[u8]>> {
        for (key, frame) in &self.encoded {
            if key.rsv == extension.rsv
                && extension.encoder.use_prepared(Some(*key)) == PreparedUse::Shared
            {
                return Some(frame);
            }
        }
        match extension.encoder.use_prepared(None) {
            PreparedUse::Each => None,
            PreparedUse::Shared | PreparedUse::Plain => Some(&self.plain),
        }
    }
}

/// A server's frame of a whole message.
fn frame(kind: MessageKind, rsv: Rsv, payload: &[u8]) -> Arc<[u8]> {
    let header = FrameHeader {
        fin: true,
        rsv,
        opcode: kind.opcode(),
        masking_key: None,
        payload_length: payload.len() as u64,
    };
    [header.encode().as_bytes(), payload].concat().into()
}
