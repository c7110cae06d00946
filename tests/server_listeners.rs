//! The kinds of listeners, alone and side by side on one server.
#![cfg(all(feature = "server", unix))]

mod handshake_util;
mod net;
#[cfg(feature = "tls")]
mod tls_util;
mod util;

use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use handshake_util::{plain, upgrade};
use net::{GUARD, Peer, Probe, Running, patient};
use sockeye::Error;
use sockeye::server::{Builder, HttpResponse, Listener, LocalAddr, Server, TrustedProxies};

type UnixPeer = Peer<UnixStream>;

/// `/topic` takes what is said on it to all who are there, over whatever they came.
fn builder() -> Builder {
    let (echo, _) = Probe::new(|socket, _, _| {
        let addresses = format!("{} {}", socket.peer_addr(), socket.client_ip());
        let _ = socket.send(&*addresses);
    });
    let (topic, _) = Probe::new(|socket, message, _| {
        if message.as_bytes() == b"subscribe" {
            socket.subscribe("topic").unwrap();
            let _ = socket.send("subscribed");
        } else {
            socket.publish_to_all("topic", &message);
        }
    });
    Server::builder()
        .config(patient())
        .get("/ip", |request| {
            HttpResponse::text(request.client_ip().to_string())
        })
        .route("/chat", echo)
        .route("/topic", topic)
}

fn serve<const N: usize>(listeners: [Listener; N]) -> (Running, Vec<LocalAddr>) {
    let server = builder().listen_on(listeners).unwrap();
    let addresses = server.local_addrs().to_vec();
    (Running::of(server), addresses)
}

/// A path for a socket, in a directory of this test's own that goes with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("sockeye-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unix(path: &PathBuf) -> UnixPeer {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.set_write_timeout(Some(GUARD)).unwrap();
    Peer::over(stream)
}

fn failure(listeners: impl IntoIterator<Item = Listener>) -> std::io::Error {
    match builder().listen_on(listeners) {
        Err(Error::Io(error)) => error,
        other => panic!("{other:?}"),
    }
}

// ---- TCP ------------------------------------------------------------------------------------

#[test]
fn ipv4_and_ipv6_share_a_port_and_a_topic() {
    // Where the machine has none there is nothing to test.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    // The port that is free for one may be taken for the other.
    let server = loop {
        let free = TcpListener::bind("[::1]:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let listeners = [
            Listener::tcp(("127.0.0.1", port)),
            Listener::tcp(("::1", port)).only_v6(true),
        ];
        if let Ok(server) = builder().listen_on(listeners) {
            break server;
        }
    };
    let addresses = server.local_addrs().to_vec();
    let server = Running::of(server);
    let [LocalAddr::Tcp(v4), LocalAddr::Tcp(v6)] = addresses[..] else {
        panic!("{addresses:?}");
    };
    assert_eq!((server.address, v6.port()), (v4, v4.port()));
    let mut peers = [Peer::connect(v4), Peer::connect(v6)];
    for peer in &mut peers {
        peer.upgrade(&upgrade().target("/topic"));
        assert_eq!(peer.ask("subscribe"), "subscribed");
    }
    let [first, second] = &mut peers;
    assert_eq!(first.ask("from IPv4"), "from IPv4");
    assert_eq!(second.hear(), "from IPv4");
    assert_eq!(second.ask("from IPv6"), "from IPv6");
    assert_eq!(first.hear(), "from IPv6");
}

#[test]
fn a_stop_closes_all_listeners() {
    let place = Place::new("stop");
    let (mut server, addresses) = serve([
        Listener::tcp("127.0.0.1:0"),
        Listener::unix(place.socket()),
        Listener::tcp("127.0.0.1:0"),
    ]);
    let peers: Vec<_> = addresses
        .iter()
        .filter_map(LocalAddr::tcp)
        .map(Peer::connect)
        .collect();
    assert_eq!(peers.len(), 2);
    drop((peers, unix(&place.socket())));
    server.shut_down();
    server.join();
    for address in addresses.iter().filter_map(LocalAddr::tcp) {
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    assert!(!place.socket().exists());
}

#[test]
fn a_listener_of_std_is_taken_as_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (server, _) = serve([Listener::from_std(listener)]);
    assert_eq!(server.address, address);
    let mut peer = server.open();
    let own = peer.stream().local_addr().unwrap();
    assert_eq!(peer.ask(""), format!("{own} 127.0.0.1"));
}

#[test]
fn two_servers_share_a_port_if_both_ask_for_it() {
    let (first, _) = serve([Listener::tcp("127.0.0.1:0").reuse_port()]);
    let second = builder()
        .listen_on([Listener::tcp(first.address).reuse_port()])
        .unwrap();
    let second = Running::of(second);
    assert_eq!(first.address, second.address);
    // Which of the two has it is the system's choice.
    let mut peers: Vec<Peer> = Vec::new();
    let count = |server: &Running| server.handle().connection_count();
    while count(&first) == 0 || count(&second) == 0 {
        peers.push(first.open());
        peers.last_mut().unwrap().ask("settled");
    }
    assert_eq!(count(&first) + count(&second), peers.len());
    let error = failure([Listener::tcp(first.address)]);
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn what_a_listener_cannot_have_is_an_error_and_so_is_no_listener() {
    let bound = || Listener::from_std(TcpListener::bind("127.0.0.1:0").unwrap());
    let place = Place::new("misuse");
    for (listener, what) in [
        (bound().reuse_port(), "reuse_port"),
        (bound().only_v6(true), "only_v6"),
        (bound().mode(0o600), "mode"),
        (Listener::tcp("127.0.0.1:0").mode(0o600), "mode"),
        (Listener::unix(place.socket()).reuse_port(), "reuse_port"),
    ] {
        let error = failure([listener]);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(failure([]).kind(), ErrorKind::InvalidInput);
    assert!(failure([Listener::tcp("no address")]).to_string().len() > 1);
    assert!(!place.socket().exists());
}

#[test]
fn the_address_that_cannot_be_bound_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = failure([Listener::tcp("127.0.0.1:0"), Listener::tcp(address)]);
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// A server that listens on an address with a name is found under it.
#[test]
fn of_several_addresses_the_first_that_is_free_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = "127.0.0.1:0".parse().unwrap();
    let (server, _) = serve([Listener::tcp(&[taken.local_addr().unwrap(), free][..])]);
    assert_ne!(server.address, taken.local_addr().unwrap());
    server.open().close();
}

// ---- Unix sockets ---------------------------------------------------------------------------

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

#[test]
fn a_unix_listener_of_std_is_taken_and_its_file_left() {
    let place = Place::new("handed");
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (server, addresses) = serve([Listener::from_std_unix(listener)]);
    assert_eq!(addresses, [LocalAddr::Unix(place.socket())]);
    unix(&place.socket()).upgrade(&upgrade());
    drop(server);
    assert!(place.socket().exists());
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

// ---- TLS ------------------------------------------------------------------------------------

#[cfg(feature = "tls")]
mod tls {
    use super::*;
    use std::sync::Arc;
    use tls_util::{Authority, TlsPeer, over, server};

    #[test]
    fn plain_and_tls_on_tcp_and_unix_share_a_topic() {
        let place = Place::new("tls");
        let authority = Authority::new();
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

    fn shown(peer: &mut TlsPeer) -> Vec<u8> {
        peer.upgrade(&upgrade());
        peer.stream().conn.peer_certificates().unwrap()[0].to_vec()
    }

    #[test]
    fn the_builders_tls_is_for_listeners_without_their_own_and_is_what_is_replaced() {
        let authority = Authority::new();
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
        let authority = Authority::new();
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
        let authority = Authority::new();
        let config = || server(&authority.issue("localhost"));
        let (running, _) = serve([
            Listener::tcp("127.0.0.1:0").tls(config()),
            Listener::tcp("127.0.0.1:0").tls(config()),
        ]);
        let error = running.handle().set_tls(config()).unwrap_err().to_string();
        assert!(error.contains("Builder::tls"), "{error}");
    }
}

// ---- sockets that are handed in -------------------------------------------------------------

const ROLE: &str = "SOCKEYE_TEST_CHILD";

/// The process that is handed its sockets. Without its role it is no test of anything.
#[test]
fn child() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let listeners = Listener::from_systemd().unwrap();
    let names: Vec<_> = listeners
        .iter()
        .map(|it| it.name().unwrap_or("-"))
        .collect();
    println!("\nnames {}", names.join(" "));
    if listeners.is_empty() {
        return;
    }
    assert!(Listener::from_systemd().unwrap().is_empty(), "once");
    assert!(env::var_os("LISTEN_FDS").is_none());
    let (stop, _) = Probe::new(|socket, _, _| socket.handle().shut_down());
    let server = builder().route("/stop", stop).listen_on(listeners);
    server.unwrap().run().unwrap();
    println!("\nstopped");
}

/// Starts the child with these sockets as its descriptors 3 and 4. `variables` is the shell's,
/// which becomes the child.
fn hand_in(variables: &str, tcp: OwnedFd, unix: OwnedFd) -> (Child, impl Iterator<Item = String>) {
    let script = format!(
        "exec 3<&0 4<&2 0</dev/null 2>&1; export {variables}; exec \"$0\" --exact child --nocapture"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(ROLE, "1")
        .stdin(tcp)
        .stderr(unix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

fn sockets(place: &Place) -> (TcpListener, UnixListener) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    (tcp, UnixListener::bind(place.socket()).unwrap())
}

#[test]
fn sockets_that_systemd_hands_in_are_served_in_their_order_and_by_name() {
    let place = Place::new("systemd");
    let (tcp, unix_listener) = sockets(&place);
    let address = tcp.local_addr().unwrap();
    let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:local";
    let (mut child, mut lines) = hand_in(variables, tcp.into(), unix_listener.into());
    assert!(lines.any(|it| it == "names http local"));
    Peer::connect(address).upgrade(&upgrade());
    let mut peer = unix(&place.socket());
    peer.upgrade(&upgrade().target("/stop"));
    peer.say("");
    peer.expect_close(1001);
    drop(peer);
    assert!(lines.any(|it| it == "stopped"));
    assert!(child.wait().unwrap().success());
    assert!(place.socket().exists(), "it is systemd's");
}

/// As for a process that was started by the one they were meant for.
#[test]
fn sockets_that_are_handed_to_another_process_are_not_taken() {
    let place = Place::new("another");
    for variables in ["LISTEN_PID=1 LISTEN_FDS=2", "LISTEN_FDS=2", "LISTEN_PID=$$"] {
        let (tcp, unix) = sockets(&place);
        let (mut child, mut lines) = hand_in(variables, tcp.into(), unix.into());
        assert!(lines.any(|it| it == "names "), "{variables}");
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        fs::remove_file(place.socket()).unwrap();
    }
}
