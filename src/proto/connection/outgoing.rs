//! A message whose payload the caller writes itself.

use alloc::vec::Vec;
use core::fmt;

use super::{Connection, Teardown};
use crate::proto::frame::{FrameHeader, Rsv};
use crate::proto::mask::mask;
use crate::proto::message::MessageKind;
use crate::proto::misuse::Misuse;

impl Connection {
    /// Begins a message whose payload the caller writes itself, from a file or from memory that
    /// many connections share, say: appends the header of its one frame to `out`. Write that, and
    /// after it exactly `length` bytes of payload, each of which goes through
    /// [`mask`](OutgoingPayload::mask) or [`pass`](OutgoingPayload::pass) first. The payload is
    /// sent as it is, without any extension and regardless of
    /// [`fragment_size`](crate::proto::Config::fragment_size); that of a text must be UTF-8.
    ///
    /// The returned value borrows the connection until the payload is complete: so nothing else,
    /// not even a pong, can get in between. If the payload takes long, send it in
    /// [fragments](Self::send_fragment), between which the peer's pings are answered.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// use sockeye::proto::{Config, Connection, MessageKind};
    ///
    /// let page = b"<!doctype html>".as_slice(); // shared by all connections
    /// let mut connection = Connection::server(Arc::new(Config::default()), Duration::ZERO);
    /// let mut out = Vec::new();
    /// let mut payload = connection.send_header(MessageKind::Binary, page.len() as u64, &mut out)?;
    /// payload.pass(page);
    /// // Now write `out` and `page`, by one vectored write.
    /// assert_eq!(out, [0x82, 15]);
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// When `length` has its top bit set: no frame is so long (RFC 6455 section 5.2).
    pub fn send_header(
        &mut self,
        kind: MessageKind,
        length: u64,
        out: &mut Vec<u8>,
    ) -> Result<OutgoingPayload<'_>, Misuse> {
        self.check_start()?;
        let header = FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: kind.opcode(),
            masking_key: self.masking_key(),
            payload_length: length,
        };
        header.encode().append_to(out);
        Ok(OutgoingPayload {
            connection: self,
            masking_key: header.masking_key,
            written: 0,
            left: length,
        })
    }
}

/// The payload of a message whose header was sent by [`Connection::send_header`].
///
/// Dropping it before the whole payload has passed ends the connection
/// ([`teardown`](Connection::teardown) returns [`Drop`](Teardown::Drop)): the peer would take
/// whatever is sent next for the rest of the payload.
pub struct OutgoingPayload<'c> {
    connection: &'c mut Connection,
    masking_key: Option<[u8; 4]>,
    written: u64,
    left: u64,
}

impl OutgoingPayload<'_> {
    /// Returns how many bytes of the payload have not passed yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Prepares the next bytes of the payload for writing, in place: a client's are masked (RFC
    /// 6455 section 5.3), a server's are left as they are.
    ///
    /// # Panics
    /// When there are more bytes than are [left](Self::left).
    pub fn mask(&mut self, payload: &mut [u8]) {
        let phase = (self.written % 4) as usize;
        self.count(payload.len());
        if let Some(key) = self.masking_key {
            mask(payload, key, phase);
        }
    }

    /// Passes the next bytes of a server's payload, which are written as they are.
    ///
    /// # Panics
    /// When there are more bytes than are [left](Self::left), and for a client, whose payload has to
    /// be [masked](Self::mask).
    pub fn pass(&mut self, payload: &[u8]) {
        assert!(
            self.masking_key.is_none(),
            "a client's payload has to be masked"
        );
        self.count(payload.len());
    }

    fn count(&mut self, bytes: usize) {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.expect("a payload is no longer than its header said");
        self.written += bytes as u64;
    }
}

impl Drop for OutgoingPayload<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.connection.over(Teardown::Drop);
        }
    }
}

impl fmt::Debug for OutgoingPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingPayload")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
