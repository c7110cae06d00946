//! Memory of the opening handshake, counted by the allocator: docs/cases.md H16 and H17,
//! ARCHITECTURE.md, invariants 2 and 3.

use harness::counting::count as counted;
use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError};
use sockeye::proto::{Accept, Input, Received, Response, ServerHandshake};

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
    let handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::with_capacity(4096);
    // What is told of the head goes before the transport does.
    let (result, count) = counted(|| {
        let received = handshake.recv(&mut Input::new(&mut bytes), &mut out, START);
        let refused = received.unwrap_err();
        (refused.error().clone(), refused.into_linger())
    });
    let error = HandshakeError::Head(HttpError::HeadTooLarge);
    assert_eq!(result.0, error);
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
        for byte in &mut bytes {
            let mut input = Input::new(core::slice::from_mut(byte));
            match handshake.recv(&mut input, &mut out, START) {
                Ok(Received::Incomplete(more)) => handshake = more,
                Ok(other) => panic!("{other:?}"),
                Err(_) => return true,
            }
        }
        false
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
        let handshake = ServerHandshake::new(config(), START);
        let mut out = Vec::new();
        let (result, count) =
            counted(|| handshake.recv(&mut Input::new(&mut bytes), &mut out, START));
        assert_eq!(kind(&result), Ok(Kind::Incomplete));
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
    let (request, count) = counted(|| {
        for byte in &mut bytes {
            let mut input = Input::new(core::slice::from_mut(byte));
            match handshake.recv(&mut input, &mut out, START).unwrap() {
                Received::Incomplete(more) => handshake = more,
                other => return Some(other),
            }
        }
        None
    });
    assert!(matches!(request, Some(Received::Upgrade(_))));
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
        let handshake = ServerHandshake::new(config, START);
        let received = handshake.recv(&mut Input::new(&mut bytes), &mut out, START);
        let Ok(Received::Upgrade(upgrade)) = received else {
            panic!("{received:?}");
        };
        upgrade.accept(&Accept::default(), &mut out, START).unwrap()
    });
    assert_eq!(count.live, 0, "{count:?}");
    drop(connection);
}

#[test]
fn a_kept_transport_that_waits_owns_no_head() {
    let mut bytes = plain("GET / HTTP/1.1").add("X", "x".repeat(10_000)).bytes();
    let mut out = Vec::with_capacity(4096);
    let handshake = ServerHandshake::new(config(), START);
    let (kept, count) = counted(|| {
        let received = handshake.recv(&mut Input::new(&mut bytes), &mut out, START);
        let Ok(Received::Plain(request)) = received else {
            panic!("{received:?}");
        };
        next(request.respond(&Response::status(200), &mut out, START))
    });
    assert!(kept.is_some());
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
        let handshake = ServerHandshake::new(config(), START);
        let (first, second) = bytes.split_at_mut(cut);
        let ((), count) = counted(|| {
            let mut input = Input::new(first);
            let received = handshake.recv(&mut input, &mut out, START);
            let Ok(Received::Incomplete(mut handshake)) = received else {
                panic!("{received:?}");
            };
            let mut input = Input::new(second);
            for _ in 0..requests {
                let received = handshake.recv(&mut input, &mut out, START);
                let Ok(Received::Plain(request)) = received else {
                    panic!("{received:?}");
                };
                let response = Response::status(204);
                handshake = next(request.respond(&response, &mut out, START)).unwrap();
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
    let handshake = ServerHandshake::new(config(), START);
    let (kept, count) = counted(|| {
        let received = handshake.recv(&mut Input::new(&mut bytes), &mut out, START);
        let Ok(Received::Plain(request)) = received else {
            panic!("{received:?}");
        };
        next(request.respond(&Response::status(200), &mut out, START))
    });
    assert_eq!((kept.is_some(), count.live), (true, 0), "{count:?}");
}

#[test]
fn what_a_head_holds_follows_its_own_length_and_not_what_comes_behind_it() {
    let head = upgrade().bytes();
    let mut bytes = [head.clone(), vec![0x81; 100_000]].concat();
    for cut in [0, 1, 10, head.len() - 1] {
        let handshake = ServerHandshake::new(config(), START);
        let mut out = Vec::new();
        let (first, second) = bytes.split_at_mut(cut);
        let (rest, count) = counted(|| {
            let received = handshake.recv(&mut Input::new(first), &mut out, START);
            let Ok(Received::Incomplete(handshake)) = received else {
                panic!("{received:?}");
            };
            let mut input = Input::new(second);
            let received = handshake.recv(&mut input, &mut out, START);
            assert!(matches!(received, Ok(Received::Upgrade(_))));
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
