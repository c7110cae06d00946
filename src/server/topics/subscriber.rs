//! What a topic's guard sees of the connection that asks for a subscription.

use std::net::IpAddr;

use crate::server::http::StoredRequest;
use crate::server::id::ConnectionId;

/// A connection that is to be subscribed to a topic, as the topic's
/// [guard](super::TopicOptions::guard) sees it.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber<'s> {
    pub(in crate::server) id: ConnectionId,
    pub(in crate::server) client_ip: IpAddr,
    pub(in crate::server) user: Option<&'s str>,
    pub(in crate::server) request: Option<&'s StoredRequest>,
    pub(in crate::server) subprotocol: Option<&'s str>,
}

impl Subscriber<'_> {
    /// Returns the connection's id.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns the client's address: the peer's, or the one that a trusted proxy names.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.client_ip
    }

    /// Returns the user that the connection belongs to, as
    /// [`Socket::set_user`](crate::server::Sender::set_user) has said.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user
    }

    /// Returns the request of the opening handshake, where the route
    /// [keeps it](crate::server::Route::keep_request).
    #[must_use]
    pub fn request(&self) -> Option<&StoredRequest> {
        self.request
    }

    /// Returns the agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol
    }
}
