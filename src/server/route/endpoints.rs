//! What opening a connection needs: the router, the default options, the proxies.
//!
//! Only code that accepts connections, and sessions that aren't open yet, have access to it. An
//! open connection has its route's [`Options`]; what else it reaches is in
//! [`Shared`](crate::server::shared::Shared).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::vec::Vec;

use super::router::Router;
use crate::proto::http::Headers;
use crate::server::http::Cors;
use crate::server::limits::HandshakeRates;
use crate::server::options::Options;
use crate::server::proxy::TrustedProxies;
use crate::server::run::chores::Chore;
use crate::server::sync::Mutex;

/// Doesn't change while the server runs, except for the counts of handshakes.
pub(in crate::server) struct Endpoints {
    /// For routes that set none themselves, and for connections before they are open.
    pub(in crate::server) options: Options,
    pub(in crate::server) router: Router,
    /// For requests of paths that nothing has.
    pub(in crate::server) cors: Option<Arc<Cors>>,
    pub(in crate::server) max_body: usize,
    /// The proxies whose forwarding header is believed.
    pub(in crate::server) trusted_proxies: TrustedProxies,
    /// The proxies that begin their connections with a PROXY header.
    pub(in crate::server) proxy_protocol: TrustedProxies,
    pub(in crate::server) handshake_rates: HandshakeRates,
    /// Taken by the first worker.
    pub(in crate::server) chores: Mutex<Vec<Chore>>,
}

impl Endpoints {
    /// Whether a connection from this peer begins with a PROXY header.
    pub(in crate::server) fn is_proxied(&self, peer: SocketAddr) -> bool {
        self.proxy_protocol.contains(peer.ip())
    }

    /// Returns the client's address, as far as the headers can be trusted.
    pub(in crate::server) fn client_ip(&self, peer: SocketAddr, headers: Headers<'_>) -> IpAddr {
        self.trusted_proxies.client_ip(peer.ip(), headers)
    }
}
