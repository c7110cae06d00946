//! What a connection is opened with: where requests go, who may come in, and what holds until then.
//!
//! Only a session that isn't open yet is lent it, and what accepts connections. An open connection
//! has its route's [`Options`], and what else it reaches is in
//! [`Shared`](crate::server::shared::Shared).

use std::boxed::Box;
use std::net::{IpAddr, SocketAddr};
use std::vec::Vec;

use super::guard::Guard;
use super::router::Router;
use crate::proto::http::Headers;
use crate::server::limits::HandshakeRates;
use crate::server::options::Options;
use crate::server::proxy::TrustedProxies;

/// It does not change while the server runs, but for what is counted of handshakes.
pub(in crate::server) struct Endpoints {
    /// Those of the routes where they have none of their own, and of connections before they are
    /// open.
    pub(in crate::server) options: Options,
    pub(in crate::server) guards: Vec<Box<dyn Guard>>,
    pub(in crate::server) router: Router,
    pub(in crate::server) max_body: usize,
    /// Whose word on the client's address is taken.
    pub(in crate::server) trusted_proxies: TrustedProxies,
    /// Who begins its connections with a PROXY header.
    pub(in crate::server) proxy_protocol: TrustedProxies,
    pub(in crate::server) handshake_rates: HandshakeRates,
}

impl Endpoints {
    /// Whether a PROXY header comes first on a connection of this peer's.
    pub(in crate::server) fn is_proxied(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol.contains(peer.ip())
    }

    /// The client's address, as far as it is to be believed.
    pub(in crate::server) fn client_ip(&self, peer: SocketAddr, headers: Headers<'_>) -> IpAddr {
        self.trusted_proxies.client_ip(peer.ip(), headers)
    }
}
