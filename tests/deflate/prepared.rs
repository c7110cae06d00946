//! Prepared messages: one encoding for many connections, and never for one that can't take it
//! (docs/cases.md D14).

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;

use harness::deflate::*;
use harness::sansio::runs::{self, Runs};
use harness::sansio::*;
use sockeye::proto::{
    Config, Connection, Deflate, Extension, ExtensionOffer, PerMessage, PerMessageExtension,
    PreparedKey, PreparedMessage, PreparedUse, Role, Rsv, WindowBits,
};

/// The frame that this connection shares, None where it wrote its own.
fn shared_frame(conn: &mut Connection, message: &PreparedMessage) -> (Option<Arc<[u8]>>, Vec<u8>) {
    let mut out = Vec::new();
    let shared = conn.share_prepared(message, &mut out).unwrap().cloned();
    assert_eq!(shared.is_none(), !out.is_empty());
    let bytes = shared.as_deref().map_or(out, Into::into);
    (shared, bytes)
}

#[test]
fn connections_share_the_bytes_of_a_prepared_message() {
    let config = deflate(|it| *it = Deflate::shared());
    let news = json(2000, &mut Seeded(1));
    let prepared = PreparedMessage::new(&news, &config);
    assert_eq!(prepared.payload(), news);
    let mut conns: Vec<_> = (0..3).map(|_| negotiated(Role::Server, &config)).collect();
    conns.extend((0..2).map(|_| endpoint(Role::Server, &config)));
    let frames: Vec<_> = conns
        .iter_mut()
        .map(|it| shared_frame(it, &prepared).0.expect("shared"))
        .collect();
    assert!(Arc::ptr_eq(&frames[0], &frames[1]) && Arc::ptr_eq(&frames[0], &frames[2]));
    assert!(
        Arc::ptr_eq(&frames[3], &frames[4]),
        "those without the extension too"
    );
    assert_eq!(
        Peer::new(Role::Server, false, 15).read(&frames[0]),
        [&news[..]]
    );
    assert!(frames[0].len() * 2 < frames[3].len());
    assert_eq!(frames[3][..], frame(true, 0, BINARY, None, &news));
    // The copying form is the same.
    for (conn, frame) in conns.iter_mut().zip(&frames) {
        let mut out = b"before".to_vec();
        conn.send_prepared(&prepared, &mut out).unwrap();
        assert_eq!(out, [b"before", &frame[..]].concat());
    }
}

#[test]
fn a_client_masks_a_prepared_message_for_itself() {
    for config in [deflate(|_| {}), default_config()] {
        let mut conn = negotiated(Role::Client, &config);
        let prepared = PreparedMessage::new("news", &config);
        let (shared, bytes) = shared_frame(&mut conn, &prepared);
        assert!(shared.is_none());
        let frames = frames_from(Role::Client, &bytes);
        assert_eq!(
            (frames[0].opcode, &frames[0].payload[..]),
            (TEXT, &b"news"[..])
        );
    }
}

#[test]
fn prepared_messages_between_own_ones_keep_contexts_in_step() {
    for policy in [PreparedUse::Shared, PreparedUse::Plain, PreparedUse::Each] {
        for takeover in [true, false] {
            let config = deflate(|it| {
                if !takeover {
                    *it = Deflate::shared();
                }
                it.prepared = policy;
            });
            let mut conn = negotiated(Role::Server, &config);
            let mut peer = Peer::new(Role::Server, takeover, 15);
            let mut random = Seeded(7);
            for message in mixture(200, &mut random) {
                let mut out = Vec::new();
                match random.below(2) {
                    0 => conn.send(&message, &mut out).unwrap(),
                    _ => {
                        let prepared = PreparedMessage::new(&message, &config);
                        conn.send_prepared(&prepared, &mut out).unwrap();
                    }
                }
                assert_eq!(peer.read(&out), [message]);
            }
        }
    }
}

#[test]
fn what_each_policy_does_where_context_is_taken_over() {
    let news = json(2000, &mut Seeded(1));
    let first = |policy| {
        let config = deflate(|it| it.prepared = policy);
        let prepared = PreparedMessage::new(&news, &config);
        let mut conn = negotiated(Role::Server, &config);
        sent_compressed(&mut conn, &news);
        let (shared, bytes) = shared_frame(&mut conn, &prepared);
        (
            shared.is_some(),
            frames_from(Role::Server, &bytes).remove(0),
        )
    };
    let (shared, frame) = first(PreparedUse::Shared);
    assert_eq!((shared, frame.rsv), (true, RSV1));
    let (shared, plain) = first(PreparedUse::Plain);
    assert_eq!((shared, plain.rsv, plain.payload), (true, 0, news.clone()));
    let (shared, own) = first(PreparedUse::Each);
    assert_eq!((shared, own.rsv), (false, RSV1));
    assert!(
        own.payload.len() * 2 < frame.payload.len(),
        "refers to the message before"
    );
}

#[test]
fn a_smaller_window_than_it_was_prepared_with_takes_it_plain() {
    let prepared_with = deflate(|it| it.server_max_window_bits = window(12));
    let news = json(2000, &mut Seeded(1));
    let prepared = PreparedMessage::new(&news, &prepared_with);
    for mode in [Deflate::default(), Deflate::shared()] {
        for bits in 9..=15 {
            let config = deflate(|it| {
                *it = mode.clone();
                it.server_max_window_bits = window(bits);
            });
            let mut conn = negotiated(Role::Server, &config);
            let (shared, bytes) = shared_frame(&mut conn, &prepared);
            assert!(shared.is_some());
            let rsv = frames_from(Role::Server, &bytes)[0].rsv;
            assert_eq!(rsv, if bits < 12 { 0 } else { RSV1 }, "{bits}");
            // Two forms in one configuration: the one that fits is taken.
            let mut both = Config::default();
            both.extensions
                .extend(prepared_with.extensions.iter().cloned());
            both.extensions.extend(
                deflate(|it| it.server_max_window_bits = WindowBits::MIN)
                    .extensions
                    .iter()
                    .cloned(),
            );
            let prepared = PreparedMessage::new(&news, &both);
            let (_, bytes) = shared_frame(&mut conn, &prepared);
            assert_eq!(
                Peer::new(Role::Server, true, bits).read(&bytes),
                [&news[..]]
            );
            assert_eq!(frames_from(Role::Server, &bytes)[0].rsv, RSV1);
        }
    }
}

#[test]
fn what_is_short_or_does_not_shrink_is_not_prepared() {
    let config = deflate(|_| {});
    for message in [vec![b'a'; 20], noise(1000, &mut Seeded(1)), Vec::new()] {
        let mut conn = negotiated(Role::Server, &config);
        let prepared = PreparedMessage::new(&message, &config);
        let (shared, bytes) = shared_frame(&mut conn, &prepared);
        assert!(shared.is_some());
        assert_eq!(bytes, frame(true, 0, BINARY, None, &message));
    }
}

/// Another extension on RSV1 that prepares messages in its own way.
#[derive(Debug)]
struct Stranger;

impl PerMessageExtension for Stranger {
    fn offers(&self) -> Vec<Extension> {
        Vec::new()
    }

    fn accept(&self, _: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        None
    }

    fn confirm(&self, _: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        None
    }

    fn prepare(&self, _: &[u8]) -> Option<(PreparedKey, Vec<u8>)> {
        let (extension, rsv, key) = ("x-stranger", Rsv::RSV1, 9);
        Some((
            PreparedKey {
                extension,
                rsv,
                key,
            },
            b"not deflate".to_vec(),
        ))
    }
}

#[test]
fn an_extension_does_not_take_what_another_prepared() {
    let strange = config(|it| it.extensions.push(Arc::new(Stranger)));
    let prepared = PreparedMessage::new("news", &strange);
    for config in both_modes() {
        let (_, bytes) = shared_frame(&mut negotiated(Role::Server, &config), &prepared);
        assert_eq!(bytes, frame(true, 0, TEXT, None, b"news"));
    }
    // One that knows nothing of prepared messages encodes them itself, as it does all others.
    for rsv in [Rsv::RSV1, Rsv::RSV2] {
        let runs = config(|it| it.extensions.push(Arc::new(Runs::new(rsv))));
        let prepared = PreparedMessage::new("news", &deflate(|it| it.threshold = 0));
        let (shared, bytes) = shared_frame(&mut negotiated(Role::Server, &runs), &prepared);
        assert!(shared.is_none());
        assert_eq!(
            frames_from(Role::Server, &bytes)[0].payload,
            runs::encoded(b"news")
        );
    }
}

#[test]
fn prepared_messages_are_refused_where_messages_are() {
    let config = deflate(|_| {});
    let prepared = PreparedMessage::new("news", &config);
    let mut conn = negotiated(Role::Server, &config);
    let mut out = Vec::new();
    conn.send_fragment("begun", &mut out).unwrap();
    assert!(conn.send_prepared(&prepared, &mut Vec::new()).is_err());
    conn.close(None, "", &mut out, Duration::ZERO).unwrap();
    assert!(conn.send_prepared(&prepared, &mut Vec::new()).is_err());
    assert!(conn.share_prepared(&prepared, &mut Vec::new()).is_err());
}
