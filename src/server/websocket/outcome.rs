//! What becomes of a message that is sent or published.

use crate::server::run::inbox::HandleError;
use crate::server::topics::Position;

/// What becomes of a message that would take the bytes that wait for a peer over
/// [`max_backpressure`](crate::server::Builder::max_backpressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The message is dropped; what waits is still sent.
    #[default]
    DropNewest,
    /// The oldest messages that wait are dropped to make room. Once bytes wait, each message is
    /// queued separately, which costs a buffer for each, and is compressed without reference to
    /// other messages, which may be dropped.
    DropOldest,
    /// The connection is closed with 1013, and nothing but the Close is sent any more.
    Close,
}

/// What became of a message given to [`Socket::send`](crate::server::Socket::send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It leaves with this turn's write; nothing waits before it. If the transport takes only part
    /// of that write, [`Handler::on_drain`](crate::server::Handler::on_drain) follows.
    Sent,
    /// It waits behind a backlog; [`Handler::on_drain`](crate::server::Handler::on_drain) follows.
    Queued,
    /// It was not sent: the connection is closing, or the backlog would exceed
    /// [`max_backpressure`](crate::server::Builder::max_backpressure). In the second case
    /// [`Handler::on_drain`](crate::server::Handler::on_drain) follows, unless nothing waits: then
    /// the message alone is too long.
    Dropped,
}

/// What became of a message that was published: at the subscribers that were given it at once, and
/// how many others it is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Subscribers to whom it leaves without a backlog before it.
    pub sent: usize,
    /// Subscribers for whom it waits behind a backlog.
    pub queued: usize,
    /// Subscribers for whom it was dropped.
    pub dropped: usize,
    /// Subscribers that it is on its way to: those on other workers, and those of this one if other
    /// commands come before it.
    pub waiting: usize,
    /// Its position in the topic; None if it was refused, or published to several.
    pub position: Option<Position>,
    /// Why it was refused, if it was: a worker with subscribers has no room for it
    /// ([`HandleError::Busy`]), or the topic takes none that long ([`HandleError::TooLong`]). No
    /// subscriber gets it then, and it isn't in the history.
    pub refused: Option<HandleError>,
}

impl Published {
    pub(in crate::server) fn count(&mut self, sent: Sent) {
        *match sent {
            Sent::Sent => &mut self.sent,
            Sent::Queued => &mut self.queued,
            Sent::Dropped => &mut self.dropped,
        } += 1;
    }
}
