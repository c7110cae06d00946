//! Unix sockets: who their peers are, and what becomes of their files.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use sockeye::server::Listener;
use sockeye::server::listen::LocalAddr;
use sockeye::server::proxy::TrustedProxies;

use super::{Place, builder, failure, serve, unix};
use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, Peer, Running};

#[test]
fn a_unix_socket_is_served_and_its_peers_are_this_machine() {
    let place = Place::new("served");
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    let server = builder()
        .trusted_proxies(proxies)
        .listen_on([Listener::unix(place.socket())])
        .unwrap();
    assert_eq!(server.local_addrs(), [LocalAddr::Unix(place.socket())]);
    let text = format!("unix:{}", place.socket().display());
    assert_eq!(server.local_addrs()[0].to_string(), text);
    assert_eq!(server.local_addr().to_string(), "127.0.0.1:0");
    let server = Running::of(server);
    let mut peer = unix(&place.socket());
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask("who am I?"), "127.0.0.1:0 127.0.0.1");
    // A megabyte comes in many reads and goes in many writes.
    peer.say(&"long".repeat(200_000));
    assert_eq!(peer.hear(), "127.0.0.1:0 127.0.0.1");
    peer.close();
    // A proxy on this machine is believed.
    let mut proxy = unix(&place.socket());
    let request = plain("GET /ip HTTP/1.1").add("X-Forwarded-For", "192.0.2.7");
    proxy.write(request.bytes());
    assert_eq!(proxy.response().body, b"192.0.2.7");
    drop(server);
}

#[test]
fn a_proxy_header_comes_over_a_unix_socket_too() {
    let place = Place::new("proxied");
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    let server = builder()
        .proxy_protocol(proxies)
        .listen_on([Listener::unix(place.socket())])
        .unwrap();
    let _server = Running::of(server);
    let mut peer = unix(&place.socket());
    peer.write("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n");
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask(""), "192.0.2.7:4711 192.0.2.7");
}

#[test]
fn the_file_of_a_server_that_was_killed_is_replaced() {
    let place = Place::new("stale");
    drop(UnixListener::bind(place.socket()).unwrap());
    assert!(place.socket().exists());
    let (server, _) = serve([Listener::unix(place.socket())]);
    let mut peer = unix(&place.socket());
    peer.upgrade(&upgrade());
    drop((peer, server));
    assert!(!place.socket().exists());
}

#[test]
fn a_file_that_somebody_has_is_left_alone() {
    let place = Place::new("taken");
    let check = |what| {
        let error = failure([Listener::unix(place.socket())]);
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{what}");
        assert!(error.to_string().contains("socket"), "{error}");
        assert!(place.socket().exists(), "{what}");
        fs::remove_file(place.socket()).unwrap();
    };
    let listener = UnixListener::bind(place.socket()).unwrap();
    check("a listener");
    drop(listener);
    let datagram = UnixDatagram::bind(place.socket()).unwrap();
    check("a socket of datagrams");
    drop(datagram);
    fs::write(place.socket(), "not a socket").unwrap();
    check("a file");
}

#[test]
fn a_server_that_has_taken_over_the_path_keeps_its_file() {
    let place = Place::new("taken-over");
    let (first, _) = serve([Listener::unix(place.socket())]);
    fs::remove_file(place.socket()).unwrap();
    let (_second, _) = serve([Listener::unix(place.socket())]);
    drop(first);
    let mut peer = unix(&place.socket());
    peer.upgrade(&upgrade());
}

#[test]
fn the_file_has_the_permissions_that_are_asked_for() {
    let place = Place::new("mode");
    for mode in [0o600, 0o666] {
        let listener = Listener::unix(place.socket()).mode(mode);
        let _server = builder().listen_on([listener]).unwrap();
        let permissions = fs::metadata(place.socket()).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode);
    }
    // A change from outside makes it no other's.
    let server = builder().listen_on([Listener::unix(place.socket())]);
    fs::set_permissions(place.socket(), Permissions::from_mode(0o640)).unwrap();
    drop(server);
    assert!(!place.socket().exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_has_no_file() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    let name = format!("sockeye-{}", std::process::id());
    let (_server, addresses) = serve([Listener::unix(format!("\0{name}"))]);
    assert_eq!(addresses[0].to_string(), format!("unix:@{name}"));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    Peer::over(stream).upgrade(&upgrade());
}
