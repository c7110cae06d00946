//! Sockets of TCP addresses.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::about;

/// Binds the first address that can be bound, and listens.
pub(super) fn bind(
    addresses: &[SocketAddr],
    (reuse_port, only_v6): (bool, Option<bool>),
    backlog: i32,
) -> io::Result<TcpListener> {
    let bind = |address: SocketAddr| {
        let socket = open(address, reuse_port, only_v6)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(socket.into())
    };
    let mut failed = None;
    for address in addresses {
        match bind(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(about(address, &error)),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
}

/// Returns a socket that can be bound to the address.
fn open(address: SocketAddr, reuse_port: bool, only_v6: Option<bool>) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server can bind while connections of the last one linger. On Windows the option
    // means what SO_REUSEPORT means elsewhere.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if reuse_port {
        set_reuse_port(&socket)?;
    }
    if let Some(only) = only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(all(
    unix,
    not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
))]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(
    unix,
    not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
)))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_alone_or_not_is_as_it_is_asked_for() {
        // On a machine without IPv6 there is nothing to test.
        if TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        // Not bound: a socket bound to a single address always reports IPv6 only.
        let open = |address: &str, only| open(address.parse().unwrap(), false, Some(only));
        for only in [true, false] {
            assert_eq!(open("[::]:0", only).unwrap().only_v6().unwrap(), only);
        }
        // IPv4 addresses ignore it.
        assert!(open("127.0.0.1:0", true).is_ok());
    }
}
