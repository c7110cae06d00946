//! What permessage-deflate holds: the bytes per connection that the documentation of `Deflate`
//! states (D15), nothing where it is not used, and a bomb's bounds (P13).

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;

use harness::counting::count;
use harness::deflate::zlib::Zlib;
use harness::deflate::*;
use harness::sansio::*;
use libz_sys::Z_FULL_FLUSH;
use sockeye::error::{Fault, LimitError};
use sockeye::proto::{Config, Connection, Deflate, Delivery, Event, Input, Role, Scratch};

/// Receives all of `bytes`, in reads of this length, keeping nothing.
fn receive(conn: &mut Connection, bytes: &mut [u8], read: usize) -> Result<(), Fault> {
    let mut out = Vec::new();
    for chunk in bytes.chunks_mut(read) {
        let mut input = Input::new(chunk);
        while let Some(event) = conn.recv(&mut input, &mut out, Duration::ZERO)? {
            drop(event);
        }
    }
    Ok(())
}

/// Bytes that a connection holds: open, after a message received, after one sent as well.
fn held(config: &Arc<Config>, size: usize) -> [isize; 3] {
    let mut random = Seeded(1);
    let message = json(size, &mut random);
    let mut bytes = compressed(
        Role::Server,
        BINARY,
        &Zlib::deflater(6, 9).message(&message),
    );
    // The thread's own contexts are made before.
    let mut other = negotiated(Role::Server, config);
    receive(&mut other, &mut bytes.clone(), usize::MAX).unwrap();
    sent_compressed(&mut other, &message);

    // The boxes of its extension's halves come with the handshake, and one for what few connections
    // have.
    let without = default_config();
    let plain = count(|| negotiated(Role::Server, &without)).1.live;
    let (mut conn, open) = count(|| negotiated(Role::Server, config));
    let ((), received) = count(|| receive(&mut conn, &mut bytes, usize::MAX).unwrap());
    let (_, sent) = count(|| drop(sent_compressed(&mut conn, &message)));
    let open = open.live - plain;
    [open, open + received.live, open + received.live + sent.live]
}

#[test]
fn bytes_per_connection_are_as_documented() {
    // Contexts only: messages of any length leave nothing else behind.
    let with = |change: fn(&mut Deflate)| {
        let config = deflate(change);
        let [small, middle, large] = [200, 1 << 10, 16 << 10].map(|size| held(&config, size));
        assert_eq!([small, middle], [middle, large]);
        small
    };
    let table = [
        (with(|_| {}), 48_000, 428_000),
        (
            with(|it| it.server_max_window_bits = window(12)),
            48_000,
            313_000,
        ),
        (
            with(|it| it.server_max_window_bits = window(9)),
            48_000,
            299_000,
        ),
        (
            with(|it| it.client_no_context_takeover = true),
            392,
            380_000,
        ),
        (
            with(|it| it.server_no_context_takeover = true),
            48_000,
            48_000,
        ),
        (with(|it| *it = Deflate::shared()), 392, 392),
    ];
    for ([open, received, sent], inflater, both) in table {
        println!("open {open}, received {received}, sent {sent}");
        assert_eq!(open, 392);
        // To a hundredth: other versions and processors have a little more or less.
        assert!(
            (received - inflater).abs() <= inflater / 100,
            "{received}, not {inflater}"
        );
        assert!((sent - both).abs() <= both / 100, "{sent}, not {both}");
    }
}

#[test]
fn a_context_is_freed_with_its_connection_and_when_it_fails() {
    for config in both_modes() {
        held(&config, 2000);
        let mut bytes = compressed(Role::Server, BINARY, &HELLO);
        let before = count(|| ()).1.live;
        let ((), counts) = count(|| {
            let mut conn = negotiated(Role::Server, &config);
            receive(&mut conn, &mut bytes, usize::MAX).unwrap();
            sent_compressed(&mut conn, &[b'x'; 500]);
            drop(conn);
        });
        assert_eq!(counts.live, before, "dropped");
        // In the middle of a message each way.
        let mut begun = frame(false, RSV1, BINARY, mask_to(Role::Server), &HELLO[..4]);
        let mut garbage = frame(true, 0, CONTINUATION, mask_to(Role::Server), &[0x06; 9]);
        let mut conn = negotiated(Role::Server, &config);
        let mut out = Vec::with_capacity(4096);
        let ((), counts) = count(|| {
            receive(&mut conn, &mut begun, usize::MAX).unwrap();
            conn.send_fragment(&[b'x'; 500], &mut out).unwrap();
            receive(&mut conn, &mut garbage, usize::MAX).unwrap_err();
        });
        assert!(counts.live <= 0, "failed: {counts:?}");
    }
}

#[test]
fn a_silent_connection_frees_its_compressor_and_goes_on_later() {
    let config = deflate(|_| {});
    let [_, received, sent] = held(&config, 2000);
    let compressor = sent - received;
    let (mut client, mut server) = handshake(&config, &config);
    let (message, mut out) = (json(2000, &mut Seeded(1)), Vec::with_capacity(1 << 16));
    let mut zlib = Zlib::inflater(15);
    let mut peer = |payload: &[u8]| assert_eq!(zlib.inflate_message(payload), Ok(message.clone()));
    peer(&sent_compressed(&mut server, &message));
    let mut freed = |server: &mut Connection| {
        let at = server.poll_timeout().unwrap();
        let ((), counts) = count(|| server.handle_timeout(at, &mut out).unwrap());
        // The ping is answered.
        let mut input = Input::new(&mut out);
        let mut pong = Vec::new();
        client.recv(&mut input, &mut pong, at).unwrap();
        server
            .recv(&mut Input::new(&mut pong), &mut Vec::new(), at)
            .unwrap();
        out.clear();
        -counts.live
    };
    // It was used since the connection was opened, then not, then there is nothing to free.
    assert_eq!(
        [freed(&mut server), freed(&mut server), freed(&mut server)],
        [0, compressor, 0]
    );
    peer(&sent_compressed(&mut server, &message));
    assert_eq!([freed(&mut server), freed(&mut server)], [0, compressor]);
}

#[test]
fn short_messages_and_plain_ones_make_no_context() {
    let config = deflate(|_| {});
    let mut conn = negotiated(Role::Server, &config);
    let mut out = Vec::with_capacity(4096);
    let mut bytes = frame_to(Role::Server, true, TEXT, b"plain");
    let ((), counts) = count(|| {
        conn.send("short", &mut out).unwrap();
        receive(&mut conn, &mut bytes, usize::MAX).unwrap();
    });
    assert_eq!(counts.calls, 0);
}

#[test]
fn messages_allocate_nothing_but_their_buffers() {
    for config in both_modes() {
        let (mut client, mut server) = handshake(&config, &config);
        let message = json(2000, &mut Seeded(1));
        let (mut up, mut down) = (Vec::with_capacity(1 << 20), Vec::with_capacity(1 << 20));
        let mut scratch = Scratch::new();
        let mut round = || {
            up.clear();
            client.send(&message, &mut up).unwrap();
            let mut input = Input::new(&mut up);
            let Ok(Some(Event::Message(it))) =
                server.recv_with(&mut input, &mut scratch, &mut down, Duration::ZERO)
            else {
                panic!("a message")
            };
            assert_eq!(it.as_bytes(), message);
            scratch.recycle(it.into_payload());
        };
        round();
        let ((), counts) = count(|| (0..1000).for_each(|_| round()));
        assert_eq!(counts.calls, 0);
    }
}

#[test]
fn p13_a_gibibyte_of_zeros_holds_the_limit_and_a_chunk() {
    const GIB: usize = 1 << 30;
    let zeros = Zlib::deflater(9, 15).compress(&vec![0; 1 << 20], Z_FULL_FLUSH);
    let bomb = zeros.repeat(GIB >> 20);
    for role in ROLES {
        for mode in [Deflate::default(), Deflate::shared()] {
            for fragments in [1, 1000] {
                for delivery in [Delivery::Whole, Delivery::Streamed] {
                    let limit = 10 << 20;
                    let config = deflate_with(
                        |it| *it = mode.clone(),
                        |it| (it.max_message_size, it.delivery) = (limit, delivery),
                    );
                    held(&config, 2000);
                    let mut conn = negotiated(role, &config);
                    let mut frames = Vec::new();
                    for (at, cut) in bomb.chunks(bomb.len().div_ceil(fragments)).enumerate() {
                        let (rsv, opcode) = if at == 0 {
                            (RSV1, BINARY)
                        } else {
                            (0, CONTINUATION)
                        };
                        frames.extend(frame(at + 1 == fragments, rsv, opcode, mask_to(role), cut));
                    }
                    let (end, counts) = count(|| receive(&mut conn, &mut frames, 64 * 1024));
                    assert_eq!(end, Err(Fault::Limit(LimitError::MessageSize { limit })));
                    // A buffer that doubles is there twice while it moves.
                    let most = 2 * limit as isize + 100_000;
                    assert!(counts.peak <= most, "{counts:?}");
                    // All the doublings together: nothing was made for the rest of the gibibyte.
                    assert!(counts.total <= 4 * limit + (1 << 20), "{counts:?}");
                    assert!(counts.live <= 1000, "freed: {counts:?}");
                }
            }
        }
    }
}

#[test]
fn the_contexts_are_freed_when_this_end_begins_to_close() {
    for config in both_modes() {
        held(&config, 2000);
        let mut bytes = compressed(Role::Server, BINARY, &HELLO);
        let plain = count(|| endpoint(Role::Server, &config)).1.live;
        let mut out = Vec::with_capacity(4096);
        let (mut conn, counts) = count(|| {
            let mut conn = negotiated(Role::Server, &config);
            receive(&mut conn, &mut bytes.clone(), usize::MAX).unwrap();
            sent_compressed(
                &mut conn,
                b"what is said, is said again and again and again",
            );
            conn.close(None, "", &mut out, Duration::ZERO).unwrap();
            conn
        });
        // What it closed with is kept, for its end.
        let most = plain + 136;
        assert!(counts.live <= most, "{counts:?}");
        // Compressed messages that come meanwhile are parsed and dropped.
        let (result, counts) = count(|| receive(&mut conn, &mut bytes, 1));
        assert_eq!((result, counts.live), (Ok(()), 0));
    }
}
