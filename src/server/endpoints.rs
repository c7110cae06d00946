//! What a connection is opened with: where requests go, who may come in, and what holds until then.
//!
//! Only a session that isn't open yet is lent it, and what accepts connections. An open connection
//! has its route's [`Options`], and what else it reaches is in [`Shared`](super::shared::Shared).

use std::boxed::Box;
use std::net::{IpAddr, SocketAddr};
use std::vec::Vec;

use super::guard::Guard;
use super::limits::HandshakeRates;
use super::options::Options;
use super::proxy::TrustedProxies;
use super::router::Router;
use crate::proto::http::Headers;

/// It does not change while the server runs, but for what is counted of handshakes.
pub(super) struct Endpoints {
    /// Those of the routes where they have none of their own, and of connections before they are
    /// open.
    pub(super) options: Options,
    pub(super) guards: Vec<Box<dyn Guard>>,
    pub(super) router: Router,
    pub(super) max_body: usize,
    /// Whose word on the client's address is taken.
    pub(super) trusted_proxies: TrustedProxies,
    /// Who begins its connections with a PROXY header.
    pub(super) proxy_protocol: TrustedProxies,
    pub(super) handshake_rates: HandshakeRates,
}

impl Endpoints {
    /// Whether a PROXY header comes first on a connection of this peer's.
    pub(super) fn is_proxied(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol.contains(peer.ip())
    }

    /// The client's address, as far as it is to be believed.
    pub(super) fn client_ip(&self, peer: SocketAddr, headers: Headers<'_>) -> IpAddr {
        self.trusted_proxies.client_ip(peer.ip(), headers)
    }
}
