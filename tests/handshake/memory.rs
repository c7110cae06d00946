//! Memory of the opening handshake, counted by the allocator: docs/cases.md H16 and H17,
//! ARCHITECTURE.md, invariants 2 and 3.

use harness::counting::count as counted;
use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError};
use sockeye::proto::{Accept, Input, RequestKind, Response, ServerHandshake};

const HEAD: isize = 16 * 1024;

#[test]
fn a_handshake_that_waits_owns_no_buffer() {
    let config = config();
    let (handshake, count) = counted(|| ServerHandshake::new(config, START));
    assert_eq!(count.calls, 0);
    drop(handshake);
}

#[test]
fn h16_an_endless_head_in_one_piece_takes_no_more_than_the_limit() {
    let mut bytes = upgrade().add("X", "x".repeat(4 << 20)).bytes();
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::with_capacity(4096);
    let (result, count) = counted(|| handshake.recv(&mut Input::new(&mut bytes), &mut out));
    let error = HandshakeError::Head(HttpError::HeadTooLarge);
    assert_eq!(result, Err(error));
    assert!(count.peak < 2 * HEAD, "{count:?}");
    assert!(
        count.live < 4096,
        "a refused peer's head is let go: {count:?}"
    );
}

#[test]
fn h16_an_endless_head_byte_by_byte_takes_no_more_than_the_limit() {
    let mut bytes = upgrade().add("X", "x".repeat(20_000)).bytes();
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::with_capacity(4096);
    let (failed, count) = counted(|| {
        bytes.iter_mut().any(|byte| {
            let mut input = Input::new(core::slice::from_mut(byte));
            handshake.recv(&mut input, &mut out).is_err()
        })
    });
    assert!(failed);
    // Twice the limit, and what it grew from.
    assert!(count.peak < 4 * HEAD, "{count:?}");
}

#[test]
fn h16_memory_follows_the_bytes_received() {
    for length in [1, 100, 1000, 10_000] {
        let bytes = upgrade().add("X", "x".repeat(20_000)).bytes();
        let mut bytes = bytes[..length].to_vec();
        let mut handshake = ServerHandshake::new(config(), START);
        let mut out = Vec::new();
        let (result, count) = counted(|| handshake.recv(&mut Input::new(&mut bytes), &mut out));
        assert_eq!(result, Ok(None));
        // The lines' positions besides: 16 of them at once.
        assert!(count.peak <= 2 * length as isize + 300, "{count:?}");
    }
}

#[test]
fn h17_a_16_kib_head_byte_by_byte_is_copied_a_constant_number_of_times() {
    let short = upgrade().add("X", "").head().len();
    let mut bytes = upgrade().add("X", "x".repeat(16384 - short)).bytes();
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    let (kinds, count) = counted(|| {
        let one = |byte| handshake.recv(&mut Input::new(core::slice::from_mut(byte)), &mut out);
        bytes
            .iter_mut()
            .map(one)
            .filter(|it| *it != Ok(None))
            .count()
    });
    assert_eq!(kinds, 1);
    // Doubling copies each byte about once more; growing by a constant would be 16 KiB squared.
    assert!(count.total < 6 * HEAD as usize, "{count:?}");
    assert!(count.calls < 32, "{count:?}");
}

#[test]
fn an_accepted_connection_that_is_idle_owns_no_buffer() {
    let mut bytes = upgrade().add("X", "x".repeat(10_000)).bytes();
    let mut out = Vec::with_capacity(4096);
    let config = config();
    let (connection, count) = counted(|| {
        let mut handshake = ServerHandshake::new(config, START);
        let kind = handshake.recv(&mut Input::new(&mut bytes), &mut out);
        assert_eq!(kind, Ok(Some(RequestKind::Upgrade)));
        handshake
            .accept(&Accept::default(), &mut out, START)
            .unwrap()
    });
    assert_eq!(count.live, 0, "{count:?}");
    drop(connection);
}

#[test]
fn a_kept_transport_that_waits_owns_no_head() {
    let mut bytes = plain("GET / HTTP/1.1").add("X", "x".repeat(10_000)).bytes();
    let mut out = Vec::with_capacity(4096);
    let mut handshake = ServerHandshake::new(config(), START);
    let (kept, count) = counted(|| {
        let kind = handshake.recv(&mut Input::new(&mut bytes), &mut out);
        assert_eq!(kind, Ok(Some(RequestKind::Plain)));
        handshake.respond(&Response::status(200), &mut out, START)
    });
    assert_eq!(kept, Ok(true));
    assert!(count.live < 1024, "{count:?}");
}

/// What is behind a head is often another one, and may be many.
#[test]
fn of_pipelined_requests_each_byte_is_copied_once_however_many_come_at_once() {
    let request = plain("GET / HTTP/1.1").head();
    let requests = 64 * 1024 / request.len();
    let mut out = Vec::with_capacity(requests * 256);
    // Whole reads, and reads that cut a request at any place.
    for cut in [0, 1, request.len() - 1] {
        let mut bytes = request.repeat(requests);
        let mut handshake = ServerHandshake::new(config(), START);
        let (first, second) = bytes.split_at_mut(cut);
        let ((), count) = counted(|| {
            let mut input = Input::new(first);
            assert_eq!(handshake.recv(&mut input, &mut out), Ok(None));
            let mut input = Input::new(second);
            for _ in 0..requests {
                let kind = handshake.recv(&mut input, &mut out);
                assert_eq!(kind, Ok(Some(RequestKind::Plain)));
                let response = Response::status(204);
                assert_eq!(handshake.respond(&response, &mut out, START), Ok(true));
                out.clear();
            }
            assert!(input.is_empty());
        });
        // Each head and its lines, and the little text that writing a response takes.
        let each = 2 * request.len() + 512;
        assert!(count.total <= requests * each, "{count:?}");
        assert!(count.peak <= each as isize + 1024, "{count:?}");
    }
}

#[test]
fn a_kept_transport_that_waits_owns_no_buffer_at_all() {
    let lines = (0..90).fold(plain("GET / HTTP/1.1"), |it, _| it.add("X", "y"));
    let mut bytes = lines.bytes();
    let mut out = Vec::with_capacity(4096);
    let mut handshake = ServerHandshake::new(config(), START);
    let (kept, count) = counted(|| {
        let kind = handshake.recv(&mut Input::new(&mut bytes), &mut out);
        assert_eq!(kind, Ok(Some(RequestKind::Plain)));
        handshake.respond(&Response::status(200), &mut out, START)
    });
    assert_eq!((kept, count.live), (Ok(true), 0), "{count:?}");
}

#[test]
fn what_a_head_holds_follows_its_own_length_and_not_what_comes_behind_it() {
    let head = upgrade().bytes();
    let mut bytes = [head.clone(), vec![0x81; 100_000]].concat();
    for cut in [0, 1, 10, head.len() - 1] {
        let mut handshake = ServerHandshake::new(config(), START);
        let mut out = Vec::new();
        let (first, second) = bytes.split_at_mut(cut);
        let (rest, count) = counted(|| {
            handshake.recv(&mut Input::new(first), &mut out).unwrap();
            let mut input = Input::new(second);
            handshake.recv(&mut input, &mut out).unwrap();
            input.len()
        });
        assert_eq!(rest, 100_000);
        // Its lines' positions, and what it grew by.
        assert!(
            count.peak <= 2 * head.len() as isize + 256 + 1024,
            "{count:?}"
        );
    }
}
