//! A host with several addresses, over real sockets: docs/cases.md C12.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use harness::net::config;
use harness::net::script::{Script, next_frame};
use sockeye::Error;
use sockeye::client::{ConnectOptions, Resolver, Unreachable};

const LONG: Duration = Duration::from_secs(5);

/// Options with which every host has these addresses.
fn resolving(addresses: Vec<SocketAddr>) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.resolver = Some(Resolver::new(move |host, port| {
        assert_eq!((host, port), ("chat.example", 80));
        Ok(addresses.clone())
    }));
    options
}

fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// An address that drops SYNs: its queue is full.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queued = core::iter::from_fn(connect).collect();
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// The time is the test's subject.
#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn greeted() -> Script {
    Script::open(Vec::new(), |mut peer| {
        assert_eq!(next_frame(&mut peer).payload, b"hello");
    })
}

/// C12.
#[test]
fn an_address_that_says_nothing_is_joined_by_the_next() {
    let silent = Silent::new();
    let server = greeted();
    let options = resolving(vec![silent.address, server.address()]);
    let (client, time) = timed(|| options.connect("ws://chat.example/"));
    let mut client = client.unwrap();
    assert!(
        Duration::from_millis(250) <= time && time < LONG,
        "{time:?}"
    );
    assert_eq!(client.peer_addr().unwrap(), server.address());
    client.send("hello").unwrap();
    server.end();
}

/// C12.
#[test]
fn an_address_that_refuses_is_followed_by_the_next_at_once() {
    let server = greeted();
    let options = resolving(vec![refusing(), server.address()]);
    let mut client = options.connect("ws://chat.example/").unwrap();
    client.send("hello").unwrap();
    server.end();
}

/// C12.
#[test]
fn the_error_names_each_address() {
    let silent = Silent::new();
    let addresses = [refusing(), silent.address];
    let mut options = resolving(addresses.to_vec());
    options.config = config(|it| it.handshake_timeout = Duration::from_millis(400));
    let (result, time) = timed(|| options.connect("ws://chat.example/"));
    let Err(Error::Io(error)) = result else {
        panic!("{result:?}");
    };
    assert!(time < LONG, "{time:?}");
    let cause = error.get_ref().unwrap().downcast_ref::<Unreachable>();
    let tried = cause.unwrap().attempts().iter().map(|it| it.0);
    assert_eq!(tried.collect::<Vec<_>>(), addresses);
    let told = error.to_string();
    for address in addresses {
        assert!(told.contains(&address.to_string()), "{told}");
    }
    // And none at all.
    let result = resolving(Vec::new()).connect("ws://chat.example/");
    assert!(result.unwrap_err().to_string().contains("has no address"));
}

#[test]
fn the_source_address_is_the_callers() {
    // All of 127.0.0.0/8 is this machine, on Linux.
    if !cfg!(target_os = "linux") {
        return;
    }
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));
    let server = Script::open(Vec::new(), move |mut peer| {
        assert_eq!(peer.stream().peer_addr().unwrap().ip(), source);
        peer.expect_end();
    });
    let mut options = ConnectOptions::default();
    options.source = Some(source);
    drop(options.connect(&server.url).unwrap());
    server.end();
}
