//! The kinds of listeners, alone and side by side on one server.

mod handed_in;
#[cfg(feature = "tls")]
mod tls;
mod unix;

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use harness::handshake::upgrade;
use harness::net::{GUARD, Peer, Probe, Running, patient};
use sockeye::Error;
use sockeye::server::listen::LocalAddr;
use sockeye::server::{BuildError, Builder, HttpResponse, Listener, Server};

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

fn misbuilt(listeners: impl IntoIterator<Item = Listener>) -> BuildError {
    match builder().listen_on(listeners) {
        Err(Error::Build(error)) => error,
        other => panic!("{other:?}"),
    }
}

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
        let error = misbuilt([listener]);
        assert!(matches!(error, BuildError::ListenerSetting(it) if it == what));
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(matches!(misbuilt([]), BuildError::NoListener));
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
