//! TLS on some listeners, and whose configuration it is.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use sockeye::rustls::pki_types::ServerName;
use sockeye::rustls::{ClientConnection, StreamOwned};
use sockeye::server::Listener;
use sockeye::server::listen::LocalAddr;
use sockeye::server::proxy::TrustedProxies;

use super::{Place, builder, serve, unix};
use harness::handshake::upgrade;
use harness::net::{Peer, Running};
use harness::tls::{Authority, TlsPeer, over, server};

#[test]
fn plain_and_tls_on_tcp_and_unix_share_a_topic() {
    let place = Place::new("tls");
    let authority = Authority::default();
    let config = server(&authority.issue("localhost"));
    let (_server, addresses) = serve([
        Listener::tcp("127.0.0.1:0"),
        Listener::tcp("127.0.0.1:0").tls(Arc::clone(&config)),
        Listener::unix(place.socket()),
    ]);
    let addresses: Vec<_> = addresses.iter().filter_map(LocalAddr::tcp).collect();
    let mut plain = Peer::connect(addresses[0]);
    let socket = TcpStream::connect(addresses[1]).unwrap();
    let mut secret = over(socket, authority.client());
    let mut local = unix(&place.socket());
    plain.upgrade(&upgrade().target("/topic"));
    secret.upgrade(&upgrade().target("/topic"));
    local.upgrade(&upgrade().target("/topic"));
    assert_eq!(plain.ask("subscribe"), "subscribed");
    assert_eq!(secret.ask("subscribe"), "subscribed");
    assert_eq!(local.ask("subscribe"), "subscribed");
    let long = "long".repeat(100_000);
    for text in ["short", &long] {
        plain.say(text);
        assert!(plain.hear() == text && secret.hear() == text && local.hear() == text);
        secret.say(text);
        assert!(plain.hear() == text && secret.hear() == text && local.hear() == text);
    }
    plain.close();
    secret.close();
    local.close();
}

/// With a PROXY header in front of it.
#[test]
fn tls_is_spoken_over_a_unix_socket() {
    let place = Place::new("tls-alone");
    let authority = Authority::default();
    let config = server(&authority.issue("localhost"));
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    let listening = builder()
        .proxy_protocol(proxies)
        .tls(config)
        .listen_on([Listener::unix(place.socket())])
        .unwrap();
    let _running = Running::of(listening);
    let mut socket = unix(&place.socket()).stream().try_clone().unwrap();
    socket
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(authority.client()), name).unwrap();
    let mut peer = Peer::over(StreamOwned::new(client, socket));
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask("who am I?"), "192.0.2.7:4711 192.0.2.7");
    peer.close();
}

fn shown(peer: &mut TlsPeer) -> Vec<u8> {
    peer.upgrade(&upgrade());
    peer.stream().conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn the_builders_tls_is_for_listeners_without_their_own_and_is_what_is_replaced() {
    let authority = Authority::default();
    let [builders, own, renewed] = [(); 3].map(|()| authority.issue("localhost"));
    let listening = builder()
        .tls(server(&builders))
        .listen_on([
            Listener::tcp("127.0.0.1:0"),
            Listener::tcp("127.0.0.1:0").tls(server(&own)),
        ])
        .unwrap();
    let addresses: Vec<_> = listening
        .local_addrs()
        .iter()
        .filter_map(LocalAddr::tcp)
        .collect();
    let running = Running::of(listening);
    let shown = |at: usize| {
        let socket = TcpStream::connect(addresses[at]).unwrap();
        shown(&mut over(socket, authority.client()))
    };
    assert_eq!(shown(0), builders.certificate.to_vec());
    assert_eq!(shown(1), own.certificate.to_vec());
    running.handle().set_tls(server(&renewed)).unwrap();
    assert_eq!(shown(0), renewed.certificate.to_vec());
    assert_eq!(shown(1), own.certificate.to_vec());
}

#[test]
fn the_one_configuration_that_listeners_have_is_replaced() {
    let authority = Authority::default();
    let [old, renewed] = [(); 2].map(|()| authority.issue("localhost"));
    let config = server(&old);
    let (running, addresses) = serve([
        Listener::tcp("127.0.0.1:0").tls(Arc::clone(&config)),
        Listener::tcp("127.0.0.1:0"),
        Listener::tcp("127.0.0.1:0").tls(config),
    ]);
    let addresses: Vec<_> = addresses.iter().filter_map(LocalAddr::tcp).collect();
    running.handle().set_tls(server(&renewed)).unwrap();
    for at in [0, 2] {
        let socket = TcpStream::connect(addresses[at]).unwrap();
        let mut peer = over(socket, authority.client());
        assert_eq!(shown(&mut peer), renewed.certificate.to_vec());
    }
    Peer::connect(addresses[1]).upgrade(&upgrade());
}

#[test]
fn of_several_configurations_none_is_replaced_unless_it_is_the_builders() {
    let authority = Authority::default();
    let config = || server(&authority.issue("localhost"));
    let (running, _) = serve([
        Listener::tcp("127.0.0.1:0").tls(config()),
        Listener::tcp("127.0.0.1:0").tls(config()),
    ]);
    let error = running.handle().set_tls(config()).unwrap_err().to_string();
    assert!(error.contains("Builder::tls"), "{error}");
}
