//! Large messages that are read straight to where they are assembled
//! (`Connection::space`): the same as through an `Input`, whatever the splits.

use core::time::Duration;

use harness::sansio::{
    BINARY, CONTINUATION, KEY, Length, PING, ROLES, Seeded, TEXT, Transcript, config, drive,
    endpoint, frame_to, mask_to, push_event, random_chunks, raw_header,
};
use sockeye::proto::{Config, Connection, Delivery, Event, Input, Role};

/// From here on a message has a space.
const LARGE: usize = 16 * 1024;

/// As `harness::sansio::drive`, but reads into the space whenever there is one, and into both as a vectored
/// read does.
fn drive_direct(conn: &mut Connection, bytes: &[u8], chunks: &[usize]) -> (Transcript, usize) {
    let (mut seen, mut given, mut direct) = (Transcript::default(), 0, 0);
    for &length in chunks {
        let mut chunk = &bytes[given..given + length];
        given += length;
        if let Some(mut space) = conn.space() {
            let count = chunk.len().min(space.len());
            let (into_space, behind) = chunk.split_at(count);
            space[..count].copy_from_slice(into_space);
            assert_eq!(space.filled(length), behind.len());
            chunk = behind;
            direct += count;
        }
        let mut chunk = chunk.to_vec();
        let mut input = Input::new(&mut chunk);
        loop {
            match conn.recv(&mut input, &mut seen.output, Duration::ZERO) {
                Ok(Some(event)) => push_event(&mut seen.events, event),
                Ok(None) => break,
                Err(fault) => {
                    seen.fault = Some(fault);
                    break;
                }
            }
        }
    }
    (seen, direct)
}

fn large(role: Role) -> Vec<u8> {
    let letters = "zwölf, Виктор, 素早い 🦊 ".repeat(5_000);
    let (head, tail) = letters.as_bytes().split_at(100_001);
    [
        frame_to(role, true, BINARY, &[7; 300_000]),
        frame_to(role, true, TEXT, b"small"),
        frame_to(role, false, TEXT, head),
        frame_to(role, true, PING, b"between"),
        frame_to(role, true, CONTINUATION, tail),
        frame_to(role, true, BINARY, &vec![9; LARGE * 3]),
    ]
    .concat()
}

#[test]
fn what_is_delivered_is_the_same_with_and_without_the_space() {
    let mut random = Seeded(1);
    for role in ROLES {
        let bytes = large(role);
        let expected = drive(&mut endpoint(role, &limits()), &bytes, &[bytes.len()]);
        assert!(expected.fault.is_none());
        for _ in 0..40 {
            let mut conn = endpoint(role, &limits());
            let mut chunks = random_chunks(bytes.len(), &mut random);
            if random.below(2) == 0 {
                // Long ones, so that some end behind the frame.
                chunks = chunks.chunks(9).map(|it| it.iter().sum()).collect();
            }
            let (seen, direct) = drive_direct(&mut conn, &bytes, &chunks);
            assert_eq!(seen, expected);
            assert!(direct > 200_000, "{direct} bytes were read straight");
        }
    }
}

fn limits() -> std::sync::Arc<Config> {
    config(|it| it.max_message_size = 1 << 20)
}

#[test]
fn bad_text_is_the_same_fault_wherever_it_arrives() {
    for role in ROLES {
        for at in [LARGE + 10, 60_000, 99_999] {
            let mut text = vec![b'a'; 100_000];
            text[at] = 0xC3;
            let bytes = frame_to(role, true, TEXT, &text);
            let expected = drive(&mut endpoint(role, &limits()), &bytes, &[bytes.len()]);
            assert!(expected.fault.is_some());
            let mut conn = endpoint(role, &limits());
            let chunks = vec![1000; bytes.len() / 1000]
                .into_iter()
                .chain([bytes.len() % 1000]);
            let (seen, _) = drive_direct(&mut conn, &bytes, &chunks.collect::<Vec<_>>());
            assert_eq!(seen.fault, expected.fault);
        }
    }
}

/// ARCHITECTURE.md, invariant 2: what is announced warrants no memory.
#[test]
fn the_space_is_no_longer_than_what_has_come_of_the_message() {
    let mask = mask_to(Role::Server);
    let mut bytes = raw_header(0x82, mask, Length::In64(1 << 20));
    let mut conn = endpoint(Role::Server, &limits());
    bytes.extend([0; LARGE]);
    assert!(drive(&mut conn, &bytes, &[bytes.len()]).events.is_empty());
    let mut come = LARGE;
    while come < 1 << 20 {
        let space = conn.space().expect("the message is large");
        let length = space.len();
        assert!(
            length <= come && come + length <= 1 << 20,
            "{length} of {come}"
        );
        assert_eq!(space.filled(length), 0);
        come += length;
        let mut output = Vec::new();
        let event = conn.recv(&mut Input::new(&mut []), &mut output, Duration::ZERO);
        assert_eq!(event.unwrap().is_some(), come == 1 << 20);
    }
    assert!(conn.space().is_none());
}

#[test]
fn there_is_none_for_small_streamed_and_closing_messages() {
    for role in ROLES {
        let bytes = frame_to(role, true, BINARY, &[0; 100_000]);
        let half = &bytes[..50_000];
        let streamed = config(|it| it.delivery = Delivery::Streamed);
        let mut conn = endpoint(role, &streamed);
        drive(&mut conn, half, &[half.len()]);
        assert!(conn.space().is_none());
        let mut conn = endpoint(role, &limits());
        assert!(conn.space().is_none());
        drive(&mut conn, &bytes[..1000], &[1000]);
        assert!(conn.space().is_none(), "little has come yet");
        drive(&mut conn, &bytes[1000..50_000], &[49_000]);
        assert!(conn.space().is_some());
        let mut out = Vec::new();
        conn.close(None, "", &mut out, Duration::ZERO).unwrap();
        assert!(conn.space().is_none());
    }
}

#[test]
fn a_close_between_filling_and_receiving_passes_the_bytes_over() {
    let mut conn = endpoint(Role::Server, &limits());
    let bytes = frame_to(Role::Server, true, BINARY, &[0; 60_000]);
    drive(&mut conn, &bytes[..50_000], &[50_000]);
    let space = conn.space().unwrap();
    let count = space.len();
    assert_eq!(space.filled(count), 0);
    assert!(conn.space().is_none(), "it is full");
    let mut out = Vec::new();
    conn.close(None, "", &mut out, Duration::ZERO).unwrap();
    let mut rest = [
        &bytes[50_000 + count..],
        &harness::sansio::frame(true, 0, harness::sansio::CLOSE, Some(KEY), b""),
    ]
    .concat();
    let event = conn.recv(&mut Input::new(&mut rest), &mut out, Duration::ZERO);
    assert!(matches!(event, Ok(Some(Event::Closed(_)))), "{event:?}");
}
