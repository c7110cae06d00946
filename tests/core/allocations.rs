//! What the core allocates, counted: nothing on the message path, nothing when idle, and never more
//! than the bytes received ask for (invariants 2 and 3 of ARCHITECTURE.md; docs/cases.md F3, D3,
//! D5).

use core::time::Duration;

use harness::counting::{Counts, count};
use harness::sansio::*;
use sockeye::proto::{
    CloseCode, Config, Connection, Delivery, Event, Input, MessageRef, Payload, Role, Scratch,
};

#[test]
fn the_counter_counts() {
    let (kept, counts) = count(|| {
        drop(vec![1_u8; 100]);
        vec![0_u8; 50]
    });
    assert_eq!((counts.calls, counts.total), (2, 150));
    assert_eq!((counts.live, counts.peak), (50, 100));
    let ((), counts) = count(|| drop(kept));
    assert_eq!((counts.calls, counts.live), (0, -50));
    let (mut grown, _) = count(|| Vec::<u8>::with_capacity(10));
    let ((), counts) = count(|| grown.reserve_exact(30));
    assert_eq!((counts.calls, counts.live, counts.peak), (1, 20, 30));
}

// ---- nothing on the message path ------------------------------------------------------------

/// Gives `bytes` to the connection in reads of `read` bytes, echoes every message and recycles
/// every payload; answers the number of messages. `bytes` are unmasked in place.
fn echo(
    conn: &mut Connection,
    scratch: &mut Scratch,
    bytes: &mut [u8],
    read: usize,
    out: &mut Vec<u8>,
) -> usize {
    let mut messages = 0;
    for chunk in bytes.chunks_mut(read) {
        let mut input = Input::new(chunk);
        while let Some(event) = conn
            .recv_with(&mut input, scratch, out, Duration::ZERO)
            .unwrap()
        {
            match event {
                Event::Message(message) => {
                    conn.send(&message, out).unwrap();
                    scratch.recycle(message.into_payload());
                    messages += 1;
                }
                Event::Ping(payload) | Event::Pong(payload) => scratch.recycle(payload),
                other => panic!("{other:?}"),
            }
        }
    }
    messages
}

/// Echoes `stream` once to warm up, then asserts that a second time allocates nothing.
#[track_caller]
fn assert_echo_is_free(role: Role, stream: &[u8], read: usize, expected: usize) {
    let (mut conn, mut scratch) = (endpoint(role, &default_config()), Scratch::new());
    let (mut warm_up, mut measured, mut out) = (stream.to_vec(), stream.to_vec(), Vec::new());
    assert_eq!(
        echo(&mut conn, &mut scratch, &mut warm_up, read, &mut out),
        expected
    );
    let written = out.len();
    out.clear();
    let (messages, counts) = count(|| echo(&mut conn, &mut scratch, &mut measured, read, &mut out));
    assert_eq!((messages, out.len()), (expected, written));
    assert_eq!(counts.calls, 0, "{role:?}, reads of {read}: {counts:?}");
}

#[test]
fn echoing_1000_small_messages_allocates_nothing() {
    for role in ROLES {
        let messages = (0..1000).flat_map(|n| {
            let opcode = if n % 2 == 0 { TEXT } else { BINARY };
            frame_to(role, true, opcode, &vec![b'a'; n % 126])
        });
        let stream: Vec<u8> = messages.collect();
        assert_echo_is_free(role, &stream, usize::MAX, 1000);
    }
}

#[test]
fn echoing_1000_messages_cut_by_reads_allocates_nothing_when_buffers_are_recycled() {
    for role in ROLES {
        let message = frame_to(role, true, TEXT, &[b'a'; 300]);
        for read in [1, 7, 100, 1000] {
            assert_echo_is_free(role, &message.repeat(1000), read, 1000);
        }
    }
}

#[test]
fn echoing_1000_fragmented_messages_allocates_nothing_when_buffers_are_recycled() {
    for role in ROLES {
        let message = [
            frame_to(role, false, TEXT, &[b'a'; 100]),
            frame_to(role, true, PING, b"between"),
            frame_to(role, false, CONTINUATION, &[b'b'; 20]),
            frame_to(role, true, CONTINUATION, "é".as_bytes()),
        ];
        assert_echo_is_free(role, &message.concat().repeat(1000), usize::MAX, 1000);
    }
}

#[test]
fn answering_1000_pings_allocates_nothing() {
    for role in ROLES {
        let ping = frame_to(role, true, PING, &[b'p'; 125]);
        assert_echo_is_free(role, &ping.repeat(1000), usize::MAX, 0);
    }
}

#[test]
fn sending_allocates_nothing_but_output() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        let mut out = Vec::with_capacity(1 << 20);
        let payload = vec![7; 70_000];
        let ((), counts) = count(|| {
            conn.send("text", &mut out).unwrap();
            conn.send(&payload, &mut out).unwrap();
            conn.send_fragment("a", &mut out).unwrap();
            conn.send_last_fragment("b", &mut out).unwrap();
            conn.send_ping(&[1; 125], &mut out).unwrap();
            conn.send_pong(&[], &mut out).unwrap();
            let kind = MessageRef::from(&payload).kind();
            let mut zeros = [0; 10];
            let mut outgoing = conn.send_header(kind, 10, &mut out).unwrap();
            outgoing.mask(&mut zeros);
        });
        assert_eq!(counts.calls, 0, "{role:?}: {counts:?}");
        // What it closed with is told at its end.
        let ((), counts) = count(|| {
            conn.close(CloseCode::NORMAL, "bye", &mut out, Duration::ZERO)
                .unwrap();
        });
        assert!(counts.live <= RARE + ENDING + 3, "{role:?}: {counts:?}");
    }
}

#[test]
fn a_message_that_arrived_whole_is_borrowed_and_not_copied() {
    for role in ROLES {
        let mut bytes = frame_to(role, true, BINARY, &[5; 100_000]);
        let range = bytes.as_ptr_range();
        let mut conn = endpoint(role, &config(|_| {}));
        let mut input = Input::new(&mut bytes);
        let (event, counts) = count(|| conn.recv(&mut input, &mut Vec::new(), Duration::ZERO));
        let Ok(Some(Event::Message(message))) = event else {
            panic!("no message")
        };
        assert!(message.is_borrowed() && range.contains(&message.as_bytes().as_ptr()));
        assert_eq!((counts.calls, message.len()), (0, 100_000));
    }
}

// ---- nothing when idle ----------------------------------------------------------------------

#[test]
fn an_idle_connection_owns_no_heap_buffer() {
    let config = default_config();
    let (conn, counts) = count(|| Connection::server(config.clone(), Duration::ZERO));
    assert_eq!((counts.calls, counts.live), (0, 0));
    drop(conn);
    // A client's source of keys is on the heap, with what else a server has none of.
    let random = Box::new(Seeded(1));
    let (conn, counts) = count(|| Connection::client(config.clone(), random, Duration::ZERO));
    assert_eq!((counts.calls, counts.live), (1, RARE));
    drop(conn);
}

/// Bytes of a connection for what a server's usual one has none of: a client's source of keys, an
/// extension, a subprotocol, the end.
const RARE: isize = 80;

/// Of the end: a fault, which sticks, or what this endpoint closed with, its reason apart.
const ENDING: isize = 56;

/// Of a header, a frame or a message that has begun, beside its buffer.
const BEGUN: isize = 200;

/// Drops every event; keeps the output out of the count.
fn receive(conn: &mut Connection, bytes: &mut [u8], read: usize, out: &mut Vec<u8>) {
    for chunk in bytes.chunks_mut(read) {
        let mut input = Input::new(chunk);
        while let Ok(Some(_)) = conn.recv(&mut input, out, Duration::ZERO) {}
    }
}

#[test]
fn a_connection_is_idle_again_after_whatever_it_received() {
    for role in ROLES {
        let fault = match role {
            Role::Server => RARE + ENDING,
            Role::Client => ENDING,
        };
        let streams = [
            (frame_to(role, true, TEXT, b"whole"), 0),
            (frame_to(role, true, BINARY, &[1; 5000]), 0),
            (
                [
                    frame_to(role, false, TEXT, b"frag"),
                    frame_to(role, true, PING, &[1; 125]),
                    frame_to(role, true, CONTINUATION, b"ments"),
                ]
                .concat(),
                0,
            ),
            (frame_to(role, true, PONG, &[1; 125]), 0),
            // Half a header.
            (
                header(true, 0, BINARY, mask_to(role), 70_000)[..9].to_vec(),
                BEGUN,
            ),
            // The end, by a Close and by faults, in the middle of a message and of a control frame.
            (
                frame_to(role, true, CLOSE, &close_payload(1000, b"reason")),
                0,
            ),
            (
                [frame_to(role, false, TEXT, &[b'x'; 5000]), vec![0xFF]].concat(),
                fault,
            ),
            (
                frame_to(role, true, CLOSE, &close_payload(1000, b"bad \xFF reason")),
                fault,
            ),
        ];
        for (stream, left) in streams {
            for delivery in [Delivery::Whole, Delivery::Streamed] {
                for read in [1, 3, usize::MAX] {
                    let config = config(|it| it.delivery = delivery);
                    let mut conn = endpoint(role, &config);
                    let (mut bytes, mut out) = (stream.clone(), Vec::with_capacity(4096));
                    let ((), counts) = count(|| receive(&mut conn, &mut bytes, read, &mut out));
                    assert_eq!(
                        counts.live, left,
                        "{role:?} {delivery:?} {read} {stream:02x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_message_under_way_is_freed_at_any_end() {
    type End = fn(&mut Connection, &mut Vec<u8>);
    // With what is left of it at most.
    let ends: [(End, isize); 3] = [
        // The frame goes on, and is dropped as it comes.
        (
            |conn, out| conn.close(None, "", out, Duration::ZERO).unwrap(),
            BEGUN + RARE + ENDING,
        ),
        (|conn, _| drop(conn.handle_eof()), 0),
        (
            |conn, out| {
                conn.handle_timeout(Duration::from_secs(1000), out).unwrap();
                conn.handle_timeout(Duration::from_secs(2000), out)
                    .unwrap_err();
            },
            RARE + ENDING,
        ),
    ];
    let patient = config(|it| it.min_receive_rate = None);
    for role in ROLES {
        for (end, left) in ends {
            let mut conn = endpoint(role, &patient);
            let (mut bytes, mut out) = (frame_to(role, false, BINARY, &[1; 9000]), Vec::new());
            out.reserve(4096);
            let ((), counts) = count(|| {
                receive(&mut conn, &mut bytes, 1000, &mut out);
            });
            assert!(counts.live >= 9000, "{counts:?}");
            let held = counts.live;
            let ((), counts) = count(|| end(&mut conn, &mut out));
            assert!(held + counts.live <= left, "{role:?} {counts:?}");
        }
    }
}

#[test]
fn a_lent_buffer_comes_back_and_is_kept_by_no_connection() {
    let mut conn = endpoint(Role::Server, &default_config());
    let mut bytes = frame_to(Role::Server, true, TEXT, b"in two parts");
    let mut scratch = Scratch::new();
    let receive = |conn: &mut Connection, scratch: &mut Scratch, bytes: &mut [u8]| {
        let mut input = Input::new(bytes);
        let event = conn.recv_with(&mut input, scratch, &mut Vec::new(), Duration::ZERO);
        event.unwrap().map(|it| match it {
            Event::Message(message) => message.into_payload().into_parts().0,
            other => panic!("{other:?}"),
        })
    };
    let (first, second) = bytes.split_at_mut(10);
    scratch.put(Vec::with_capacity(1000));
    assert_eq!(receive(&mut conn, &mut scratch, first), None);
    assert_eq!(scratch.take().capacity(), 0, "the message is in it");
    let buffer = receive(&mut conn, &mut scratch, second).expect("a message");
    assert_eq!(buffer.capacity(), 1000);
    assert!(conn.is_settled() && conn.is_between_messages());
    // A control frame in two parts needs none.
    let mut ping = frame_to(Role::Server, true, PING, b"in two parts");
    scratch.put(buffer);
    let (_, counts) = count(|| {
        let mut input = Input::new(&mut ping[..10]);
        let mut out = Vec::new();
        let event = conn.recv_with(&mut input, &mut scratch, &mut out, Duration::ZERO);
        assert_eq!(event, Ok(None));
        assert_eq!(scratch.take().capacity(), 1000);
        conn.handle_eof();
    });
    assert!(counts.live <= 0, "{counts:?}");
}

// ---- memory follows bytes received, never bytes claimed -------------------------------------

/// 1,000 connections that are told of `claimed` bytes and get `received` of them; answers the
/// bytes that one holds at most.
fn claim(role: Role, config: impl FnOnce(&mut Config), claimed: u64, received: usize) -> isize {
    let config = harness::sansio::config(config);
    let mut conns: Vec<_> = (0..1000).map(|_| endpoint(role, &config)).collect();
    let head = header(true, 0, BINARY, mask_to(role), claimed);
    let mut out = Vec::with_capacity(1 << 20);
    let ((), counts) = count(|| {
        for conn in &mut conns {
            let mut bytes = [&head[..], &vec![0; received]].concat();
            receive(conn, &mut bytes, 1000, &mut out);
        }
    });
    // What the test itself held: one read's bytes.
    (counts.peak - 2 * (head.len() + received) as isize).max(0) / 1000
}

#[test]
fn d5_claimed_lengths_cost_nothing() {
    for role in ROLES {
        let limit = Config::default().max_message_size as u64;
        assert!(claim(role, |_| {}, 1 << 62, 0) <= RARE + ENDING);
        assert!(claim(role, |_| {}, limit + 1, 0) <= RARE + ENDING);
        // The limit itself is no fault; a header with nothing behind it needs no more than room
        // for another header.
        let most = BEGUN + 16;
        assert!(claim(role, |_| {}, limit, 0) <= most);
        assert!(claim(role, |it| it.max_message_size = usize::MAX, 1 << 62, 0) <= most);
        assert!(claim(role, |it| it.delivery = Delivery::Streamed, limit, 0) <= most);
    }
}

#[test]
fn d5_memory_follows_the_bytes_received() {
    for role in ROLES {
        for received in [1, 10, 100, 1000, 10_000] {
            let limit = Config::default().max_message_size as u64;
            let held = claim(role, |_| {}, limit, received);
            // A growing buffer doubles, from 14 bytes of room for a header.
            assert!(
                held <= 2 * (received as isize + 14) + 16 + BEGUN,
                "{held} for {received}"
            );
            let all = |it: &mut Config| it.max_message_size = usize::MAX;
            assert_eq!(claim(role, all, 1 << 62, received), held);
            let held = claim(role, |it| it.delivery = Delivery::Streamed, limit, received);
            assert!(held <= BEGUN, "streamed");
        }
    }
}

// ---- linear ---------------------------------------------------------------------------------

/// Calls and bytes in all for a message of `length` bytes that comes in frames of one byte and
/// empty ones, or in one frame read byte by byte.
fn drips(role: Role, length: usize, in_frames: bool) -> Counts {
    let mut bytes = match in_frames {
        true => (0..length).fold(frame_to(role, false, BINARY, b""), |mut bytes, at| {
            bytes.extend(frame_to(role, false, CONTINUATION, b"x"));
            if at % 2 == 0 {
                bytes.extend(frame_to(role, false, CONTINUATION, b""));
            }
            bytes
        }),
        false => frame_to(role, false, BINARY, &vec![b'x'; length]),
    };
    bytes.extend(frame_to(role, true, CONTINUATION, b""));
    let mut conn = endpoint(role, &config(|it| it.max_fragments = u32::MAX));
    let read = if in_frames { usize::MAX } else { 1 };
    let mut out = Vec::new();
    count(|| receive(&mut conn, &mut bytes, read, &mut out)).1
}

#[test]
fn d3_assembling_from_drips_allocates_in_proportion_to_the_payload() {
    for role in ROLES {
        for in_frames in [true, false] {
            for length in [1000, 10_000, 100_000] {
                let counts = drips(role, length, in_frames);
                assert!(counts.total <= 4 * length + 256, "{length}: {counts:?}");
                assert!(counts.calls <= 24, "{length}: {counts:?}");
                assert!(
                    counts.peak as usize <= 3 * length + 256,
                    "{length}: {counts:?}"
                );
                assert_eq!(counts.live, 0);
            }
        }
    }
}

#[test]
fn recycling_keeps_one_buffer() {
    let mut conn = endpoint(Role::Client, &default_config());
    let mut scratch = Scratch::new();
    let ((), counts) = count(|| {
        for size in (0..100).map(|n| n * 10) {
            let payload: Vec<u8> = vec![1; size];
            let mut bytes = frame(true, 0, BINARY, None, &payload);
            let mut owned: Option<Payload<'static>> = None;
            for chunk in bytes.chunks_mut(3) {
                let mut input = Input::new(chunk);
                let mut out = Vec::new();
                let event = conn.recv_with(&mut input, &mut scratch, &mut out, Duration::ZERO);
                if let Some(Event::Message(message)) = event.unwrap() {
                    owned = Some(message.into_payload().into_owned());
                }
            }
            scratch.recycle(owned.expect("a message"));
        }
    });
    assert!(
        counts.live <= 2 * 1014,
        "one buffer, not {} bytes",
        counts.live
    );
    let ((), counts) = count(|| drop(scratch.take()));
    assert!(counts.live < 0);
}

/// The size that each connection costs in a slab, next to no heap at all when idle. A change that
/// passes this number should be worth its bytes times a hundred thousand.
const MOST_BYTES: usize = 72;

#[test]
fn a_connection_is_small() {
    let size = size_of::<Connection>();
    println!("size_of::<Connection>() = {size}");
    assert!(size <= MOST_BYTES, "{size} bytes");
}
