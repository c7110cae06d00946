use core::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::string::ToString;
use std::sync::{Arc, OnceLock};
use std::vec;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::UnbufferedServerConnection;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;

/// One direction of a wire: what was written, and how much of it has arrived.
#[derive(Default)]
pub(crate) struct Way {
    pub(crate) bytes: RefCell<VecDeque<u8>>,
    /// Its capacity in bytes.
    pub(crate) room: Cell<usize>,
    ended: Cell<bool>,
}

/// An end of a wire that reads and writes at most `step` bytes at a time.
pub(crate) struct End {
    from: Rc<Way>,
    to: Rc<Way>,
    step: usize,
}

impl Transport for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.from.bytes.borrow_mut();
        let count = buffer.len().min(self.step).min(bytes.len());
        if count == 0 && !self.from.ended.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(bytes.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn read_both(&mut self, _: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.to.ended.get(), "written behind the end");
        let mut bytes = self.to.bytes.borrow_mut();
        let room = self.to.room.get() - bytes.len();
        let most = self.step.min(room);
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let all = slices.iter().flat_map(|it| it.iter());
        let before = bytes.len();
        bytes.extend(all.take(most));
        Ok(bytes.len() - before)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.to.ended.replace(true), "ended twice");
        Ok(())
    }
}

pub(crate) fn configs(
    version: &'static SupportedProtocolVersion,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CERTIFICATE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (certificate, key) = CERTIFICATE.get_or_init(|| {
        let names = ["localhost".to_string()];
        let it = rcgen::generate_simple_self_signed(names).unwrap();
        (it.cert.der().to_vec(), it.signing_key.serialize_der())
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone().into()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

pub(crate) struct Pair {
    pub(crate) server: ServerTls<End>,
    pub(crate) client: ClientTls<End>,
    up: Rc<Way>,
    pub(crate) down: Rc<Way>,
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

impl Pair {
    fn new(version: &'static SupportedProtocolVersion, step: usize, clear: bool) -> Self {
        Self::of(configs(version), step, clear)
    }

    fn of(
        (server, client): (Arc<ServerConfig>, Arc<ClientConfig>),
        step: usize,
        clear: bool,
    ) -> Self {
        let (up, down) = (Rc::new(Way::default()), Rc::new(Way::default()));
        for way in [&up, &down] {
            way.room.set(usize::MAX);
        }
        let end = |from: &Rc<Way>, to: &Rc<Way>| End {
            from: Rc::clone(from),
            to: Rc::clone(to),
            step,
        };
        let name = "localhost".try_into().unwrap();
        let client = UnbufferedClientConnection::new(client, name).unwrap();
        let server = UnbufferedServerConnection::new(server).unwrap();
        Self {
            server: TlsStream::new(end(&up, &down), server, clear).unwrap(),
            client: TlsStream::new(end(&down, &up), client, false).unwrap(),
            up,
            down,
        }
    }

    pub(crate) fn connected(version: &'static SupportedProtocolVersion, step: usize) -> Self {
        let mut pair = Self::new(version, step, false);
        pair.settle();
        pair
    }

    /// Lets both sides read and write until nothing moves.
    fn settle(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut received = (Vec::new(), Vec::new());
        loop {
            flush(&mut self.client);
            let up = read(&mut self.server).expect("no end");
            flush(&mut self.server);
            let down = read(&mut self.client).expect("no end");
            received.0.extend_from_slice(&up);
            received.1.extend_from_slice(&down);
            let moving = self.client.held() + self.server.held() > 0;
            if up.is_empty() && down.is_empty() && !moving {
                return received;
            }
        }
    }
}

impl Pair {
    #[track_caller]
    fn settle_to(&mut self, up: &[u8], down: &[u8]) {
        assert_eq!(self.settle(), (up.to_vec(), down.to_vec()));
    }
}

fn flush<C: Side>(stream: &mut TlsStream<End, C>) {
    while stream.held() > 0 {
        match stream.flush() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Returns all that can be read; the end if there is one.
pub(crate) fn read<C: Side>(
    stream: &mut TlsStream<End, C>,
) -> Result<Vec<u8>, (Vec<u8>, io::Result<()>)> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err((all, Ok(()))),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(all),
                _ => return Err((all, Err(error))),
            },
        }
    }
}

fn write<C: Side>(stream: &mut TlsStream<End, C>, bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        at += stream.write(&bytes[at..]).unwrap();
    }
    flush(stream);
}

pub(crate) fn some(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn whatever_the_steps_of_the_wire_the_bytes_arrive_in_both_directions() {
    for version in VERSIONS {
        for step in [1, 2, 3, 7, 1000, 16_000, usize::MAX] {
            let mut pair = Pair::connected(version, step);
            assert!(!pair.server.state().is_handshaking());
            for length in [1, 20, 16 * 1024, 16 * 1024 + 1, 70_000] {
                let sent = some(length);
                write(&mut pair.client, &sent);
                write(&mut pair.server, &sent);
                let (up, down) = pair.settle();
                assert!(up == sent, "up, {length} in steps of {step}");
                assert!(down == sent, "down, {length} in steps of {step}");
            }
            pair.client.shutdown_write().unwrap();
            flush(&mut pair.client);
            assert!(pair.up.ended.get());
            let (rest, end) = read(&mut pair.server).unwrap_err();
            assert!(rest.is_empty() && end.is_ok(), "{end:?}");
            // The other direction continues.
            write(&mut pair.server, b"still");
            assert_eq!(read(&mut pair.client).unwrap(), b"still");
        }
    }
}

#[test]
fn an_idle_stream_has_no_buffer() {
    for version in VERSIONS {
        for step in [5, usize::MAX] {
            let mut pair = Pair::connected(version, step);
            write(&mut pair.client, &some(40_000));
            write(&mut pair.server, &some(40_000));
            pair.settle();
            assert_eq!(pair.server.tls.received.capacity(), 0);
            assert_eq!(pair.server.tls.held.capacity(), 0);
        }
    }
}

/// A truncation is never taken for the peer's own end, and what came before it is delivered.
#[test]
fn the_end_of_tcp_anywhere_without_close_notify_is_unexpected() {
    for version in VERSIONS {
        let length = {
            let mut pair = Pair::connected(version, usize::MAX);
            write(&mut pair.client, b"one");
            write(&mut pair.client, b"two");
            pair.up.bytes.borrow().len()
        };
        for cut in 0..=length {
            let mut pair = Pair::connected(version, usize::MAX);
            write(&mut pair.client, b"one");
            write(&mut pair.client, b"two");
            pair.up.bytes.borrow_mut().truncate(cut);
            pair.up.ended.set(true);
            let (bytes, end) = read(&mut pair.server).unwrap_err();
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(b"onetwo".starts_with(&bytes) && bytes.len() == 3 * (2 * cut / length));
        }
    }
}

#[test]
fn close_notify_comes_behind_the_bytes_before_it_and_what_follows_is_ignored() {
    for version in VERSIONS {
        let mut pair = Pair::connected(version, usize::MAX);
        write(&mut pair.client, b"last");
        pair.client.shutdown_write().unwrap();
        pair.up.bytes.borrow_mut().extend(b"anything");
        let (bytes, end) = read(&mut pair.server).unwrap_err();
        assert!(bytes == b"last" && end.is_ok());
        assert!(read(&mut pair.server).unwrap_err().1.is_ok());
    }
}

#[test]
fn a_byte_that_was_changed_is_an_error_behind_what_came_before_and_the_peer_is_told() {
    for version in VERSIONS {
        let mut pair = Pair::connected(version, usize::MAX);
        write(&mut pair.client, b"good");
        let good = pair.up.bytes.borrow().len();
        write(&mut pair.client, b"bad");
        pair.up.bytes.borrow_mut()[good + 10] ^= 1;
        for _ in 0..2 {
            let (bytes, end) = read(&mut pair.server).unwrap_err();
            let error = end.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(bytes == b"good" || bytes.is_empty());
        }
        assert!(pair.server.write(b"no").is_err());
        let (_, end) = read(&mut pair.client).unwrap_err();
        let text = end.unwrap_err().to_string();
        assert!(text.contains("BadRecordMac"), "{text}");
    }
}

/// In TLS 1.3 the alert comes behind the server's own ServerHello, as records of their own.
#[test]
fn an_alert_reaches_the_peer_behind_what_the_handshake_still_had_to_send() {
    for version in VERSIONS {
        let (server, client) = configs(version);
        let (mut server, mut client) = (ServerConfig::clone(&server), ClientConfig::clone(&client));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        let configs = (Arc::new(server), Arc::new(client));
        let mut pair = Pair::of(configs, usize::MAX, false);
        flush(&mut pair.client);
        let (_, end) = read(&mut pair.server).unwrap_err();
        let error = end.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let (_, end) = read(&mut pair.client).unwrap_err();
        let text = end.unwrap_err().to_string();
        assert!(text.contains("NoApplicationProtocol"), "{text}");
    }
}

/// Also where one side renews its keys and asks the other to do so (RFC 8446 section 4.6.3).
#[test]
fn renewed_keys_change_nothing_for_the_streams_user() {
    for step in [1, 50, usize::MAX] {
        let mut pair = Pair::connected(&TLS13, step);
        for _ in 0..5 {
            let renewed = pair.client.tls.output(|it| it.refresh_traffic_keys());
            renewed.unwrap().unwrap().unwrap();
            pair.client.tls.output(|_| ()).unwrap();
            write(&mut pair.client, b"up");
            pair.settle_to(b"up", b"");
            write(&mut pair.server, b"down");
            pair.settle_to(b"", b"down");
        }
    }
}

#[test]
fn no_byte_that_is_changed_anywhere_panics_or_makes_a_clean_end() {
    // Knuth's generator: any will do, and it fails again with the same numbers.
    let mut state = 1_u64;
    let mut number = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for turn in 0..400 {
        let version = VERSIONS[turn % 2];
        let mut pair = Pair::new(version, 1 + number(300), false);
        let (flight, bit) = (number(4), 1 << number(8));
        for at in 0..6 {
            flush(&mut pair.client);
            if at == flight {
                let mut bytes = pair.up.bytes.borrow_mut();
                if !bytes.is_empty() {
                    let place = number(bytes.len());
                    bytes[place] ^= bit;
                }
            }
            let ended = read(&mut pair.server).is_err_and(|(_, end)| end.is_ok());
            assert!(!ended, "turn {turn}");
            flush(&mut pair.server);
            let _ = read(&mut pair.client);
            let _ = pair.client.write(&some(100));
            let _ = pair.server.write(b"answer");
        }
        pair.up.ended.set(true);
        assert!(read(&mut pair.server).unwrap_err().1.is_err());
        let _ = pair.server.write(b"more");
        let _ = pair.server.shutdown_write();
    }
}

#[test]
fn plaintext_fills_the_space_and_then_the_buffer() {
    let mut pair = Pair::connected(&TLS13, usize::MAX);
    let sent = some(40_000);
    for length in [0, 1, 16_383, 16_384, 16_385, 39_999, 40_000, 40_001] {
        write(&mut pair.client, &sent);
        let (mut space, mut buffer) = (vec![0; length], vec![0; 64 * 1024]);
        let count = pair.server.read_both(&mut space, &mut buffer).unwrap();
        let direct = count.min(length);
        space.truncate(direct);
        space.extend_from_slice(&buffer[..count - direct]);
        assert!(space == sent, "{length}");
        assert!(!pair.server.has_more(count, 0));
    }
}

#[test]
fn more_than_one_read_takes_is_more_to_read() {
    let mut pair = Pair::connected(&TLS13, usize::MAX);
    write(&mut pair.client, &some(100_000));
    let mut buffer = vec![0; 64 * 1024];
    let first = pair.server.read(&mut buffer).unwrap();
    assert!(pair.server.has_more(first, buffer.len()));
    let mut all = first;
    while all < 100_000 {
        all += pair.server.read(&mut buffer).unwrap();
    }
    assert!(!pair.server.has_more(all, buffer.len()));
}

#[test]
fn what_is_encrypted_ahead_of_a_peer_that_takes_nothing_is_bounded() {
    let mut pair = Pair::connected(&TLS13, usize::MAX);
    pair.down.room.set(0);
    let sent = some(1 << 20);
    let taken = pair.server.write(&sent).unwrap();
    assert_eq!(taken, AHEAD);
    let held = pair.server.held();
    assert!(held > AHEAD && held < AHEAD + 1024, "{held}");
    let later = pair.server.write(&sent[taken..]).unwrap_err();
    assert_eq!(later.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(pair.server.held(), held);
    pair.down.room.set(usize::MAX);
    write(&mut pair.server, &sent[taken..]);
    assert!(read(&mut pair.client).unwrap() == sent);
}

#[test]
fn nothing_is_written_before_the_handshake_is_over() {
    let mut pair = Pair::new(&TLS13, usize::MAX, false);
    let error = pair.server.write(b"early").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert!(pair.down.bytes.borrow().is_empty());
}

#[test]
fn clear_text_comes_first_and_tls_begins_where_it_ends() {
    for behind in [0, 1, 100, usize::MAX] {
        let mut pair = Pair::new(&TLS13, usize::MAX, true);
        pair.up.bytes.borrow_mut().extend(b"header");
        flush(&mut pair.client);
        let mut rest = pair.up.bytes.borrow_mut().split_off(6);
        let behind = behind.min(rest.len());
        pair.up.bytes.borrow_mut().extend(rest.drain(..behind));
        let mut buffer = [0; 1024];
        let count = pair.server.read(&mut buffer).unwrap();
        assert_eq!((count, &buffer[..6]), (6 + behind, &b"header"[..]));
        assert!(pair.server.begin(buffer[6..count].to_vec()).is_none());
        pair.up.bytes.borrow_mut().append(&mut rest);
        pair.settle();
        write(&mut pair.client, b"hello");
        assert_eq!(read(&mut pair.server).unwrap(), b"hello");
    }
}
