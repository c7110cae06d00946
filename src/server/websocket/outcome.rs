//! What becomes of a message that is sent or published.

use crate::server::topics::Position;

/// What becomes of a message that would take the bytes that wait for a peer over
/// [`max_backpressure`](crate::server::Builder::max_backpressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It is dropped; what waits is sent.
    #[default]
    DropNewest,
    /// The oldest messages that wait are dropped to make room. From the first byte that waits on,
    /// each message is queued on its own, which costs a buffer for each, and compressed for
    /// itself, so that none refers to one that was dropped.
    DropOldest,
    /// The connection is closed with 1013, and nothing but the Close is sent any more.
    Close,
}

/// What became of a message given to [`Socket::send`](crate::server::Socket::send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It leaves with this turn's write; nothing waits before it. If the transport doesn't take all
    /// of that, [`Handler::on_drain`](crate::server::Handler::on_drain) follows.
    Sent,
    /// It waits behind a backlog; [`Handler::on_drain`](crate::server::Handler::on_drain) follows.
    Queued,
    /// It was not sent: the connection is closing, or the backlog would go over
    /// [`max_backpressure`](crate::server::Builder::max_backpressure).
    /// [`Handler::on_drain`](crate::server::Handler::on_drain) follows in the second case, unless
    /// nothing waits: then the message alone is too long.
    Dropped,
}

/// What became of a message that was published: for the subscribers that were given it at once, and
/// how many others have it on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Subscribers that nothing waits for.
    pub sent: usize,
    /// Subscribers it waits for behind a backlog.
    pub queued: usize,
    /// Subscribers it was not sent to.
    pub dropped: usize,
    /// Subscribers that it is on its way to: those on other workers, and those of this one where
    /// something is before it.
    pub waiting: usize,
    /// Its place in the topic; None if it was refused.
    pub position: Option<Position>,
    /// A worker with subscribers has no room for it
    /// ([`max_inbox`](crate::server::Builder::max_inbox)): nobody gets it, and it is not in the
    /// history.
    pub refused: bool,
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
