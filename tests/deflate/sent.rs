//! Compressed messages as they are sent, read by zlib: docs/cases.md P4, P15 and P17, RFC 7692
//! section 7.2.1; which messages are compressed.

extern crate alloc;

use alloc::sync::Arc;
use core::num::NonZeroUsize;

use harness::deflate::zlib::Zlib;
use harness::deflate::*;
use harness::sansio::*;
use sockeye::proto::{
    Config, Connection, Deflate, Encoding, Extension, ExtensionOffer, Level, PerMessage,
    PerMessageExtension, Role, WindowBits,
};

/// A thousand messages in a row (P15), each way between this crate and zlib.
const MESSAGES: usize = 1000;

fn windowed(bits: u8, takeover: bool) -> Arc<Config> {
    deflate(|it| {
        if !takeover {
            *it = Deflate::shared();
        }
        it.server_max_window_bits = window(bits);
        it.client_max_window_bits = window(bits);
        it.threshold = 20;
    })
}

// ---- against zlib ---------------------------------------------------------------------------

#[test]
fn p4_p15_zlib_inflates_a_thousand_messages_within_the_window() {
    for bits in 9..=15 {
        for takeover in [true, false] {
            for role in ROLES {
                let mut conn = negotiated(role, &windowed(bits, takeover));
                let mut peer = Peer::new(role, takeover, bits);
                let mut random = Seeded(u64::from(bits));
                for message in mixture(MESSAGES, &mut random) {
                    let encoding = match random.below(3) {
                        0 => Encoding::Always,
                        _ => Encoding::Auto,
                    };
                    let mut out = Vec::new();
                    conn.send_with(&message, encoding, &mut out).unwrap();
                    assert_eq!(peer.read(&out), [message]);
                }
            }
        }
    }
}

#[test]
fn p15_a_thousand_incompressible_messages_in_a_row() {
    let mut random = Seeded(15);
    for role in ROLES {
        let config = deflate(|_| {});
        let mut conn = negotiated(role, &config);
        let (mut peer, mut zlib) = (Peer::new(role, true, 15), Zlib::deflater(6, 15));
        for _ in 0..MESSAGES {
            let message = noise(128 + random.below(500), &mut random);
            let mut out = Vec::new();
            conn.send(&message, &mut out).unwrap();
            assert_eq!(peer.read(&out), [&message[..]]);
            let bytes = compressed(role, BINARY, &zlib.message(&message));
            let seen = drive(&mut conn, &bytes, &[bytes.len()]);
            assert_eq!(seen.events, [binary(&message)]);
        }
    }
}

#[test]
fn p15_a_thousand_messages_of_zlib_are_received() {
    for bits in 9..=15 {
        for takeover in [true, false] {
            for role in ROLES {
                let config = windowed(bits, takeover);
                let mut conn = negotiated(role, &config);
                let mut zlib = Zlib::deflater(1 + i32::from(bits % 9), bits);
                let mut random = Seeded(u64::from(bits));
                for message in mixture(MESSAGES, &mut random) {
                    let bytes = match random.below(5) {
                        0 => frame_to(role, true, BINARY, &message),
                        _ => {
                            if !takeover {
                                zlib.reset();
                            }
                            compressed(role, BINARY, &zlib.message(&message))
                        }
                    };
                    let chunks = random_chunks(bytes.len(), &mut random);
                    let seen = drive(&mut conn, &bytes, &chunks);
                    assert_eq!((seen.fault, seen.events), (None, vec![binary(&message)]));
                }
            }
        }
    }
}

#[test]
fn the_check_for_the_window_finds_a_distance_beyond_it() {
    let apart = |distance: usize| {
        let mut random = Seeded(1);
        let mark = noise(100, &mut random);
        [&mark[..], &noise(distance - 100, &mut random), &mark].concat()
    };
    for (bits, distance, fits) in [
        (9, 600, false),
        (9, 200, true),
        (12, 5000, false),
        (12, 600, true),
    ] {
        let payload = Zlib::deflater(9, 15).message(&apart(distance));
        let inflated = Zlib::inflater(bits).inflate_message(&payload);
        assert_eq!(inflated.is_ok(), fits, "{bits} {distance}");
    }
}

#[test]
fn p17_fragments_of_a_compressed_message() {
    for role in ROLES {
        for takeover in [true, false] {
            for size in [1, 7, 100, 5000] {
                let config = deflate_with(
                    |it| {
                        if !takeover {
                            *it = Deflate::shared()
                        }
                    },
                    |it| it.fragment_size = NonZeroUsize::new(size),
                );
                let mut conn = negotiated(role, &config);
                let (mut peer, mut out) = (Peer::new(role, takeover, 15), Vec::new());
                let messages = mixture(30, &mut Seeded(2));
                for message in &messages {
                    let encoding = if message.is_empty() {
                        Encoding::Always
                    } else {
                        Encoding::Auto
                    };
                    conn.send_with(message, encoding, &mut out).unwrap();
                }
                assert_eq!(peer.read(&out), messages);
            }
            // By hand: empty fragments too, and pings between.
            let mut conn = negotiated(role, &windowed(15, takeover));
            let mut peer = Peer::new(role, takeover, 15);
            for parts in [
                &["Hello", ""][..],
                &["", "Hello"],
                &["", "", ""],
                &["a", "", "b"],
                &["x"],
            ] {
                let mut out = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    if at + 1 < parts.len() {
                        conn.send_fragment(*part, &mut out).unwrap();
                    } else {
                        conn.send_last_fragment(*part, &mut out).unwrap();
                    }
                }
                assert_eq!(peer.read(&out), [parts.concat().into_bytes()], "{parts:?}");
            }
        }
    }
}

#[test]
fn p17_takeover_is_as_agreed() {
    let message = json(1000, &mut Seeded(4));
    for role in ROLES {
        let [takeover, shared] = both_modes();
        let mut conn = negotiated(role, &takeover);
        let first = sent_compressed(&mut conn, &message).len();
        assert!(
            sent_compressed(&mut conn, &message).len() * 5 < first,
            "refers to the first"
        );
        let mut conn = negotiated(role, &shared);
        let first = sent_compressed(&mut conn, &message);
        sent_compressed(&mut conn, b"another between");
        assert_eq!(
            sent_compressed(&mut conn, &message),
            first,
            "refers to nothing"
        );
    }
    // One end's parameter is that end's alone.
    let server_only = deflate(|it| it.server_no_context_takeover = true);
    let mut conn = negotiated(Role::Server, &server_only);
    assert_eq!(
        sent_compressed(&mut conn, &message),
        sent_compressed(&mut conn, &message)
    );
    let mut conn = negotiated(Role::Client, &server_only);
    assert_ne!(
        sent_compressed(&mut conn, &message),
        sent_compressed(&mut conn, &message)
    );
}

#[test]
fn an_empty_message_is_one_byte() {
    for role in ROLES {
        for config in both_modes() {
            let mut conn = negotiated(role, &config);
            for _ in 0..3 {
                assert_eq!(sent_compressed(&mut conn, b""), [0x00]);
            }
            sent_compressed(&mut conn, b"x");
            assert_eq!(sent_compressed(&mut conn, b""), [0x00]);
        }
    }
}

#[test]
fn every_level_is_valid() {
    let messages = mixture(60, &mut Seeded(6));
    for level in 1..=9 {
        for takeover in [true, false] {
            let config = deflate(|it| {
                if !takeover {
                    *it = Deflate::shared();
                }
                it.level = Level::new(level).unwrap();
            });
            let mut conn = negotiated(Role::Server, &config);
            let (mut peer, mut out) = (Peer::new(Role::Server, takeover, 15), Vec::new());
            for message in &messages {
                conn.send(message, &mut out).unwrap();
            }
            assert_eq!(peer.read(&out), messages);
        }
    }
    assert_eq!((Level::new(0), Level::new(10)), (None, None));
    assert_eq!((WindowBits::new(8), WindowBits::new(16)), (None, None));
}

// ---- which messages are compressed ----------------------------------------------------------

#[test]
fn what_is_short_or_does_not_shrink_is_sent_as_it_is() {
    let threshold = Deflate::default().threshold;
    let incompressible = noise(1000, &mut Seeded(8));
    for role in ROLES {
        for config in both_modes() {
            let mut conn = negotiated(role, &config);
            let rsv = |conn: &mut Connection, message: &[u8], encoding| {
                let frames = sent(conn, message, encoding);
                assert_eq!(frames.len(), 1);
                frames[0].rsv
            };
            let (short, long) = (vec![b'a'; threshold - 1], vec![b'a'; threshold]);
            assert_eq!(rsv(&mut conn, &short, Encoding::Auto), 0);
            assert_eq!(rsv(&mut conn, &long, Encoding::Auto), RSV1);
            for message in [&b""[..], b"x", &short, &long, &incompressible] {
                assert_eq!(rsv(&mut conn, message, Encoding::Plain), 0);
                assert_eq!(rsv(&mut conn, message, Encoding::Always), RSV1);
            }
        }
        // With takeover the peer's inflater must see what the compressor saw.
        let [takeover, shared] = both_modes();
        let mut conn = negotiated(role, &takeover);
        assert_eq!(
            sent(&mut conn, &incompressible, Encoding::Auto)[0].rsv,
            RSV1
        );
        let mut conn = negotiated(role, &shared);
        let frames = sent(&mut conn, &incompressible, Encoding::Auto);
        assert_eq!((frames[0].rsv, &frames[0].payload), (0, &incompressible));
    }
}

#[test]
fn plain_holds_for_all_fragments_of_a_message() {
    let config = deflate_with(|_| {}, |it| it.fragment_size = NonZeroUsize::new(100));
    let mut conn = negotiated(Role::Server, &config);
    let message = [b'a'; 1000];
    let frames = sent(&mut conn, &message, Encoding::Plain);
    let payload: Vec<u8> = frames.iter().flat_map(|it| it.payload.clone()).collect();
    assert!(frames.iter().all(|it| it.rsv == 0) && payload == message);
    assert_eq!(sent(&mut conn, &message, Encoding::Auto)[0].rsv, RSV1);
}

#[test]
fn without_an_extension_the_encoding_means_nothing() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        for encoding in [Encoding::Auto, Encoding::Plain, Encoding::Always] {
            let frames = sent(&mut conn, &[b'a'; 1000], encoding);
            assert_eq!((frames.len(), frames[0].rsv), (1, 0));
        }
    }
}

/// A server that answers one window to all, as a response that this crate's server never gives.
#[derive(Debug)]
struct Answers(&'static str);

impl PerMessageExtension for Answers {
    fn offers(&self) -> Vec<Extension> {
        Vec::new()
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        let (_, codec) = Deflate::default().accept(offer)?;
        let response = Extension::new("permessage-deflate");
        Some((response.with_value(self.0, "8"), codec))
    }

    fn confirm(&self, _: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        None
    }
}

#[test]
fn windows_of_8_bits_in_a_response() {
    let answering = |parameter| config(|it| it.extensions.push(Arc::new(Answers(parameter))));
    // zlib can't compress at 8: that client never does.
    let (mut client, _) = handshake(&deflate(|_| {}), &answering("client_max_window_bits"));
    for encoding in [Encoding::Auto, Encoding::Always] {
        assert_eq!(sent(&mut client, &[b'a'; 1000], encoding)[0].rsv, 0);
    }
    // It can inflate what another compresses.
    let (mut client, mut server) =
        handshake(&deflate(|_| {}), &answering("server_max_window_bits"));
    let mut out = Vec::new();
    server.send(&[b'a'; 200], &mut out).unwrap();
    let chunks = [out.len()];
    assert_eq!(
        drive(&mut client, &out, &chunks).events,
        [binary(&[b'a'; 200])]
    );
}
