//! The client's address behind a proxy: from headers of the request, or from the PROXY protocol.
//!
//! Owns which proxies are trusted and how their headers are read. Anyone can send these headers;
//! they count only when they come from a trusted proxy.

mod header;
mod protocol;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::proto::http::Headers;

pub(super) use protocol::ProxyHeader;

/// The proxies that are trusted with the client's address, and the header that they name it in.
///
/// One header is read: `X-Forwarded-For`, unless [another is named](Self::header).
///
/// The default trusts none: the client is the peer of the TCP connection, as it must be for a
/// server that clients reach directly.
///
/// The header is read from its right end, where the nearest proxy wrote, and each address is
/// believed only if the one after it is trusted; so what a client puts there itself never counts.
/// The client is the first address that is not trusted. (Express's `trust proxy` and nginx's
/// `real_ip_recursive` do the same. Taking the leftmost lets clients choose.)
///
/// ```
/// use sockeye::server::proxy::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8:7::/48", "192.0.2.1"])?;
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// # Ok::<(), sockeye::server::proxy::NetworkError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedHeader,
}

/// The header in which proxies name the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// Only `X-Forwarded-For`, which most proxies set, among them nginx and HAProxy in the examples
    /// of their manuals. The default.
    ///
    /// `Forwarded` is ignored: such a proxy passes on a client's own, and the client could choose
    /// its address with it.
    #[default]
    XForwardedFor,
    /// Only `Forwarded` (RFC 7239), for proxies that write it.
    Forwarded,
    /// `Forwarded` if the request has it, otherwise `X-Forwarded-For`.
    ///
    /// Only safe where each proxy writes, or removes, both. One that sets `X-Forwarded-For` alone
    /// and passes on a client's own `Forwarded`, as nginx and HAProxy do by default, lets clients
    /// choose their address.
    Either,
}

impl TrustedProxies {
    /// Trusts these networks, as `10.0.0.0/8` or `2001:db8::/32`, and these addresses.
    ///
    /// # Errors
    /// [`NetworkError`] for the first that is neither, or that has bits set behind its prefix,
    /// which is mostly a mistyped prefix.
    pub fn new<S: AsRef<str>>(networks: impl IntoIterator<Item = S>) -> Result<Self, NetworkError> {
        let networks = networks
            .into_iter()
            .map(|network| {
                let network = network.as_ref();
                Network::parse(network).ok_or_else(|| NetworkError(network.into()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            networks,
            header: ForwardedHeader::default(),
        })
    }

    /// Sets which header is read. Default [`ForwardedHeader::XForwardedFor`].
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// Whether this address is trusted. IPv4 mapped into IPv6 is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// The client's address, for a request that came from `peer`.
    ///
    /// Where an element is malformed, hidden (`unknown`, `_name`) or missing, this is the last
    /// trusted proxy's address. Takes one pass over the header.
    pub(super) fn client_ip(&self, peer: IpAddr, headers: Headers<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let forwarded = match self.header {
            ForwardedHeader::Either => headers.get("forwarded").is_some(),
            ForwardedHeader::Forwarded => true,
            ForwardedHeader::XForwardedFor => false,
        };
        if forwarded {
            let lines: Vec<_> = headers.get_all("forwarded").collect();
            self.walk(peer, lines.into_iter().rev().flat_map(header::forwarded))
        } else {
            let lines: Vec<_> = headers.get_all("x-forwarded-for").collect();
            self.walk(
                peer,
                lines.into_iter().rev().flat_map(header::x_forwarded_for),
            )
        }
    }

    /// Goes from the nearest hop on over the trusted ones.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops {
            let Some(hop) = hop else {
                break;
            };
            client = hop.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// A range of addresses: those that have the same leading bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            None => bits,
            // u32's own parser accepts a sign and leading zeros.
            Some(text) if text.starts_with(|first: char| !first.is_ascii_digit()) => return None,
            Some(text) if text.len() > 1 && text.starts_with('0') => return None,
            Some(text) => text.parse().ok().filter(|&prefix| prefix <= bits)?,
        };
        // Mapped IPv4 addresses are compared as IPv4.
        let (address, prefix) = match address.to_canonical() {
            canonical @ IpAddr::V4(_) if bits == 128 => (canonical, prefix.checked_sub(96)?),
            same => (same, prefix),
        };
        let network = Self { address, prefix };
        (network.host_bits(address) == 0).then_some(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) ^ self.host_bits(address) == bits(self.address)
    }

    /// The bits behind the prefix.
    fn host_bits(self, address: IpAddr) -> u128 {
        let length = if address.is_ipv4() { 32 } else { 128 };
        match length - self.prefix {
            128 => bits(address),
            host => bits(address) & ((1 << host) - 1),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// A text that is neither an address nor a network, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(pub Box<str>);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no address or network such as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32, with \
             all bits behind the prefix zero",
            self.0
        )
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests;
