//! The server over TLS, with rustls itself at the other end: docs/cases.md E4, H12, D1, D7, D8, E7.

use core::error::Error as _;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use harness::handshake::{plain, upgrade};
use harness::net::{
    GUARD, How, Observed, Peer, Probe, Running, Told, Watch, config, masked_frame, observing,
    patient, serve_with,
};
use harness::sansio::{BINARY, CLOSE, TEXT, close_payload};
use harness::tls::{Authority, TlsPeer, VERSIONS, connect, over, server};
use sockeye::server::listen::tls_from_pem;
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::proxy::TrustedProxies;
use sockeye::server::socket::Overflow;
use sockeye::server::{BuildError, Builder, HttpResponse, Request, Sent};

const SHORT: Duration = Duration::from_millis(200);

struct World {
    authority: Authority,
    server: Running,
    watch: Watch,
    failures: Receiver<Observed>,
}

impl World {
    fn with(probe: (Probe, Watch), change: impl FnOnce(Builder) -> Builder) -> Self {
        let authority = Authority::default();
        let config = server(&authority.issue("localhost"));
        let (observer, failures) = observing();
        let (server, watch) = serve_with(
            |it| {
                let it = it.config(patient()).tls(config).observer(observer);
                change(it.get("/page", |_| HttpResponse::text("a page")))
            },
            probe,
        );
        Self {
            authority,
            server,
            watch,
            failures,
        }
    }

    fn echo(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::with(Probe::echo(), change)
    }

    fn connect(&self) -> TlsPeer {
        connect(&self.server, self.authority.client())
    }

    fn open(&self) -> TlsPeer {
        let mut peer = self.connect();
        peer.upgrade(&upgrade());
        peer
    }

    #[track_caller]
    fn expect_failure(&self, expected: HandshakeFailure) {
        let failed = self.failures.recv_timeout(GUARD).unwrap();
        let found = matches!(failed, Observed::Failed(_, it) if it == expected);
        assert!(found, "{failed:?}");
    }
}

#[test]
fn both_versions_open_echo_and_close_with_close_notify() {
    let world = World::echo(|it| it.workers(NonZeroUsize::new(2).unwrap()));
    for version in VERSIONS {
        for _ in 0..4 {
            let mut peer = connect(&world.server, world.authority.client_of(&[version]));
            peer.upgrade(&upgrade());
            assert_eq!(peer.ask("hello"), "hello");
            // Its end of the stream would be an error to rustls without close_notify.
            peer.close();
            assert_eq!(world.watch.close(), (1000, How::Clean));
        }
    }
}

#[test]
fn plain_requests_share_a_connection_with_an_upgrade() {
    let world = World::echo(|it| it);
    let mut peer = world.connect();
    for _ in 0..2 {
        peer.write(plain("GET /page HTTP/1.1").bytes());
        assert_eq!(peer.response().body, b"a page");
    }
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask("hello"), "hello");
}

/// H12.
#[test]
fn frames_in_the_record_of_the_upgrade_are_delivered() {
    let world = World::echo(|it| it);
    let frame = masked_frame(true, TEXT, b"early");
    for cut in [frame.len(), 3, 0] {
        let mut peer = world.connect();
        let request = upgrade();
        peer.write([&request.bytes()[..], &frame[..cut]].concat());
        let head = peer.head();
        harness::handshake::assert_proper_101(&head, &harness::handshake::key_of(&request));
        peer.write(&frame[cut..]);
        peer.expect(TEXT, "early");
    }
}

/// E4: all of them are decrypted by the first read, and no readiness follows.
#[test]
fn many_records_that_come_at_once_are_all_answered() {
    let world = World::echo(|it| it);
    let mut peer = world.open();
    let frames: Vec<_> = (0..3000_u32)
        .map(|at| masked_frame(true, BINARY, &at.to_be_bytes()))
        .collect();
    let records = peer.records(frames.iter().map(|it| &it[..]));
    let mut tcp = peer.tcp().try_clone().unwrap();
    let writer = thread::spawn(move || tcp.write_all(&records).unwrap());
    for at in 0..3000_u32 {
        peer.expect(BINARY, at.to_be_bytes());
    }
    writer.join().unwrap();
}

/// E4: ciphertext in any pieces.
#[test]
fn records_that_come_byte_by_byte_are_answered() {
    let world = World::echo(|it| it);
    let mut peer = world.open();
    let records = peer.records([&masked_frame(true, TEXT, b"slowly")[..]]);
    for byte in records {
        peer.tcp().write_all(&[byte]).unwrap();
    }
    peer.expect(TEXT, "slowly");
}

/// E4: longer than both kernels' buffers, so that each side writes in part.
#[test]
fn a_text_of_several_mebibytes_goes_both_ways() {
    let world = World::echo(|it| {
        it.config(config(|it| it.max_message_size = 16 << 20))
            .max_backpressure(64 << 20)
    });
    let mut peer = world.open();
    let text = "käse ".repeat(2 << 20).into_bytes();
    for _ in 0..2 {
        let records = peer.records([&masked_frame(true, TEXT, &text)[..]]);
        let mut tcp = peer.tcp().try_clone().unwrap();
        let writer = thread::spawn(move || tcp.write_all(&records).unwrap());
        peer.expect(TEXT, &text);
        writer.join().unwrap();
    }
    assert_eq!(world.server.handle().stats().queued_bytes, 0);
    peer.close();
}

/// E4.
#[test]
fn an_end_of_tcp_without_close_notify_is_no_clean_close() {
    let world = World::echo(|it| it);
    let mut peer = world.open();
    peer.tcp().shutdown(Shutdown::Write).unwrap();
    assert_eq!(world.watch.close(), (1006, How::Broken));

    let mut peer = world.open();
    peer.close_notify();
    assert_eq!(world.watch.close(), (1006, How::Unclean));

    // Once both Close frames are there it is one.
    let mut peer = world.open();
    peer.send(CLOSE, close_payload(1000, b""));
    peer.expect_close(1000);
    peer.tcp().shutdown(Shutdown::Both).unwrap();
    assert_eq!(world.watch.close(), (1000, How::Clean));
}

/// E4.
#[test]
fn what_is_no_tls_handshake_is_counted_as_one_that_failed() {
    let world = World::echo(|it| it);
    let mut http: Peer = world.server.connect();
    http.write(upgrade().bytes());
    world.expect_failure(HandshakeFailure::Tls);
    http.expect_end();

    let mut gone: Peer = world.server.connect();
    gone.write([0x16]);
    gone.shut_write();
    world.expect_failure(HandshakeFailure::Eof);

    // A client that doesn't trust the certificate says so.
    let mut doubting = connect(&world.server, Authority::default().client());
    let refused = doubting.stream().write_all(&upgrade().bytes());
    assert!(refused.is_err());
    world.expect_failure(HandshakeFailure::Tls);

    // close_notify in place of a request.
    let mut shy = world.connect();
    let stream = shy.stream();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    shy.close_notify();
    world.expect_failure(HandshakeFailure::Eof);

    let stats = world.server.handle().stats();
    assert_eq!(stats.handshake_failures.count(HandshakeFailure::Tls), 2);
    assert_eq!(world.open().ask("alive?"), "alive?");
}

/// D1: absolute, however far it has come.
#[test]
fn a_tls_handshake_that_goes_nowhere_is_ended_at_the_deadline() {
    let world = World::echo(|it| it.config(config(|it| it.handshake_timeout = SHORT)));
    let hello = world.connect().records([]);
    let mut silent: Peer = world.server.connect();
    silent.expect_end();
    for part in [1, 5, hello.len() - 1, hello.len()] {
        let mut silent: Peer = world.server.connect();
        silent.write(&hello[..part]);
        world.expect_failure(HandshakeFailure::Timeout);
        silent.expect_end();
    }
    // A byte every now and then puts nothing off.
    let dripping: Peer = world.server.connect();
    let mut tcp = dripping.into_inner();
    let dripper = thread::spawn(move || {
        let mut drips = hello.iter().cycle();
        while tcp.write_all(&[*drips.next().unwrap()]).is_ok() {
            thread::sleep(SHORT / 20);
        }
    });
    world.expect_failure(HandshakeFailure::Timeout);
    dripper.join().unwrap();
}

/// D7: the limit holds with all that TLS has encrypted ahead, and what it lets in arrives.
#[test]
fn a_slow_reader_gets_no_more_than_the_limit_and_that_in_order() {
    const LIMIT: usize = 1 << 20;
    const LENGTH: usize = 10_000;
    let probe = Probe::new(|socket, message, told| {
        if message.as_text() != Some("go") {
            return;
        }
        let (mut count, mut most) = (0_u32, 0);
        let mut payload = vec![0; LENGTH];
        loop {
            payload[..4].copy_from_slice(&count.to_be_bytes());
            if socket.send(&payload) == Sent::Dropped {
                break;
            }
            most = most.max(socket.buffered());
            count += 1;
        }
        assert!(most <= LIMIT && socket.buffered() + LENGTH + 4 > LIMIT);
        let _ = told.send(Told::Note(count.to_string()));
    });
    let world = World::with(probe, |it| {
        it.overflow(Overflow::DropNewest)
            .pause_reading_at(2 * LIMIT)
            .max_backpressure(LIMIT)
    });
    let mut peer = world.open();
    let count = || loop {
        if let Told::Note(count) = world.watch.next() {
            return count.parse::<u32>().unwrap();
        }
    };
    // Into the kernels' buffers, until there is no room for one more.
    let mut counts = Vec::new();
    while counts.last() != Some(&0) {
        peer.say("go");
        counts.push(count());
    }
    // The records are longer than what is in them.
    let waiting = world.server.handle().stats().queued_bytes;
    assert!(waiting <= LIMIT as u64 + 256, "{waiting}");
    for count in counts {
        for at in 0..count {
            assert_eq!(peer.frame().payload[..4], at.to_be_bytes());
        }
    }
    peer.settle();
    assert_eq!(world.server.handle().stats().queued_bytes, 0);
    let drained = |it: &Told| *it == Told::Drain { buffered: 0 };
    assert!(world.watch.rest().iter().any(drained));
    peer.close();
}

/// D8: neither a Close nor close_notify comes.
#[test]
fn a_close_that_is_never_answered_ends_in_time() {
    let probe = Probe::new(|socket, _, _| {
        let code = sockeye::proto::CloseCode(4000);
        assert!(socket.close(code, "done"));
    });
    let world = World::with(probe, |it| it.config(config(|it| it.close_timeout = SHORT)));
    let mut peer = world.open();
    peer.say("");
    peer.expect_close(4000);
    assert_eq!(world.watch.close(), (1006, How::Failed));
    peer.expect_end();

    // Close is answered, close_notify is not: the slot is free at the deadline.
    let mut peer = world.open();
    peer.say("");
    peer.expect_close(4000);
    peer.send(CLOSE, close_payload(4000, b""));
    assert_eq!(world.watch.close(), (4000, How::Clean));
    peer.expect_eof();
    drop(world.server);
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_the_old_go_on() {
    let world = World::echo(|it| it);
    let mut old = world.open();
    let renewed = world.authority.issue("localhost");
    let shown = |peer: &mut TlsPeer| peer.stream().conn.peer_certificates().unwrap()[0].clone();
    assert_ne!(shown(&mut old), renewed.certificate);
    world.server.handle().set_tls(server(&renewed)).unwrap();
    let mut new = world.open();
    assert_eq!(shown(&mut new), renewed.certificate);
    assert_eq!(old.ask("still"), "still");
    assert_eq!(new.ask("there"), "there");
}

#[test]
fn a_server_without_tls_cannot_change_to_it() {
    let (plain, _watch) = serve_with(|it| it, Probe::echo());
    let config = server(&Authority::default().issue("localhost"));
    let error = plain.handle().set_tls(config).unwrap_err();
    assert!(matches!(error, BuildError::NoTls));
    let error = error.to_string();
    assert!(error.contains("Builder::tls"), "{error}");
}

#[test]
fn a_guard_sees_the_clients_certificate_and_the_protocol() {
    let authority = Authority::default();
    let mut config = (*authority.asking_server(&authority.issue("localhost"))).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let me = authority.issue("me");
    let known = me.certificate.clone();
    let guard = move |request: &Request<'_>| {
        let tls = request.tls().expect("TLS");
        assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        match tls.peer_certificates() {
            Some([it]) if *it == known => Ok(()),
            _ => Err(sockeye::server::Reject::new(403, "who are you?")),
        }
    };
    let (server, _watch) = serve_with(
        |it| it.config(patient()).tls(Arc::new(config)).guard(guard),
        Probe::echo(),
    );
    for (mut client, status) in [
        (authority.client(), "403"),
        (authority.certified_client(&authority.issue("other")), "403"),
        (authority.certified_client(&me), "101"),
    ] {
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut peer = connect(&server, client);
        peer.write(upgrade().bytes());
        let head = peer.head();
        let expected = format!("HTTP/1.1 {status}");
        assert!(
            head.starts_with(expected.as_bytes()),
            "{}",
            head.escape_ascii()
        );
    }
}

#[test]
fn a_proxy_header_comes_in_clear_text_before_the_tls_handshake() {
    let authority = Authority::default();
    let config = server(&authority.issue("localhost"));
    let (probe, _) = Probe::new(|socket, _, _| {
        let ip = socket.client_ip().to_string();
        let _ = socket.send(&*ip);
    });
    let (observer, failures) = observing();
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    let builder = sockeye::server::Server::builder()
        .config(patient())
        .tls(config)
        .observer(observer)
        .proxy_protocol(proxies)
        .route("/chat", probe);
    let server = Running::start(builder);
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.250 4711 443\r\n";
    // In any pieces, also in one with the beginning of the TLS handshake.
    for (cut, with) in [
        (header.len(), 0),
        (5, 0),
        (header.len(), 100),
        (0, usize::MAX),
    ] {
        let mut peer = over(
            TcpStream::connect(server.address).unwrap(),
            authority.client(),
        );
        let hello = peer.records([]);
        let with = with.min(hello.len());
        peer.tcp().write_all(&header[..cut]).unwrap();
        let rest = [&header[cut..], &hello[..with]].concat();
        peer.tcp().write_all(&rest).unwrap();
        peer.tcp().write_all(&hello[with..]).unwrap();
        peer.upgrade(&upgrade());
        assert_eq!(peer.ask("who am I?"), "192.0.2.7");
        peer.close();
    }
    // Without one there is no connection.
    let mut direct = connect(&server, authority.client());
    assert!(direct.stream().write_all(&upgrade().bytes()).is_err());
    let failed = |it: &Observed| matches!(it, Observed::Failed(_, HandshakeFailure::Proxy));
    assert!(failures.iter().any(|it| failed(&it)));
}

/// E7.
#[test]
fn a_graceful_stop_closes_with_1001_and_close_notify() {
    let mut world = World::echo(|it| it);
    let mut peers: Vec<_> = (0..10).map(|_| world.open()).collect();
    world.server.shut_down();
    for peer in &mut peers {
        peer.expect_close(1001);
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
    }
    drop(peers);
    world.server.join();
}

// ---- files ----------------------------------------------------------------------------------

/// A directory that goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_server_is_configured_from_pem_files() {
    let directory = Directory::new("from_pem");
    let authority = Authority::default();
    let identity = authority.issue("localhost");
    let chain = directory.file("chain.pem", [&*identity.pem, &authority.pem].concat());
    let key = directory.file("key.pem", identity.key_pem());
    let config = tls_from_pem(chain, key).unwrap();
    let (server, _watch) = serve_with(|it| it.tls(config), Probe::echo());
    let mut client = authority.client();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut peer = connect(&server, client);
    peer.upgrade(&upgrade());
    assert_eq!(peer.stream().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let sent = peer.stream().conn.peer_certificates().unwrap();
    assert_eq!(sent, [identity.certificate.clone(), authority.certificate]);
}

#[test]
fn what_is_wrong_with_a_pem_file_is_said_with_its_name() {
    let directory = Directory::new("bad_pem");
    let authority = Authority::default();
    let (one, other) = (authority.issue("localhost"), authority.issue("localhost"));
    let chain = directory.file("chain.pem", &one.pem);
    let key = directory.file("key.pem", one.key_pem());
    let empty = directory.file("empty.pem", "");
    let cut = directory.file("cut.pem", &one.pem[..100]);
    let wrong = directory.file("wrong.pem", other.key_pem());
    let nowhere = directory.0.join("nowhere.pem");
    for (chain, key, expected) in [
        (&nowhere, &key, "nowhere.pem: "),
        (&chain, &nowhere, "nowhere.pem: "),
        (&empty, &key, "empty.pem: no certificate in PEM format"),
        (&key, &key, "key.pem: no certificate in PEM format"),
        (
            &chain,
            &chain,
            "chain.pem: no unencrypted private key in PEM format",
        ),
        (&cut, &key, "cut.pem: "),
        (&chain, &wrong, "wrong.pem can't be used together"),
    ] {
        let error = tls_from_pem(chain, key).unwrap_err();
        let (text, source) = (error.to_string(), error.source().is_some());
        let of = match error {
            BuildError::CertificateFile { path, .. } => path,
            BuildError::KeyFile { path, .. } => path,
            BuildError::KeyPair { private_key, .. } => private_key,
            other => panic!("{other:?}"),
        };
        assert!(text.contains(expected), "{expected:?} in {text:?}");
        assert!(text.contains(&of.display().to_string()), "{text:?}");
        // The reader of a file, of PEM or of a key says the rest.
        assert_eq!(source, !text.contains("in PEM format"), "{text:?}");
    }
    let missing = tls_from_pem(&nowhere, &key).unwrap_err();
    let source = missing.source().and_then(|it| it.downcast_ref());
    let kind = source.map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::NotFound));
}
