//! What a session reads, reports and writes is the same whatever its transport does.

use super::*;

/// A peer's bytes, from the first to the last.
fn transcripts() -> Vec<(&'static str, Vec<u8>)> {
    let open = |client: Client| [upgrade(), client.1].concat();
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let refused = String::from_utf8(upgrade()).unwrap();
    let refused = refused.replace("chat", "none").into_bytes();
    let all_kinds = Client::new()
        .text("hello")
        .fragments(3000, 700)
        .binary(200)
        .pong()
        .text("")
        .close(1000);
    let large = Client::new()
        .binary(10)
        .binary(100_000)
        .text("between")
        .fragments(40_000, 10_000)
        .binary(70_000)
        .binary(20)
        .close(4000);
    let many = (0..2000).fold(Client::new(), |it, at| it.binary(at % 40));
    let fault = Client::new().text("before").raw(b"\xFF\xFF").binary(30_000);
    let behind = Client::new()
        .text("before")
        .close(1001)
        .raw(b"\x81\x80keep");
    let pages = open(Client::new().binary(500).close(1000));
    vec![
        ("all kinds of messages", open(all_kinds)),
        ("large ones between small ones", open(large)),
        ("many small messages", open(many.close(3000))),
        ("a fault, and more behind it", open(fault)),
        ("text behind a close", open(behind)),
        ("pages, then an upgrade", [&*get, &pages].concat()),
        (
            "a refused upgrade with frames behind it",
            [refused, Client::new().binary(9000).1].concat(),
        ),
        (
            "pages, then a malformed request",
            [&*get, b"GET  /"].concat(),
        ),
    ]
}

/// Everything that has to be the same; `Drain` may differ.
fn events(rig: &Rig) -> Vec<Told> {
    let told = rig.told().into_iter();
    told.filter(|it| *it != Told::Drain).collect()
}

/// The peer ends its stream once the server has.
fn ideal(bytes: &[u8]) -> (Vec<Told>, Vec<u8>) {
    let mut rig = Rig::new(|_, _| {});
    assert_eq!(rig.receive(bytes), Next::Wait);
    assert!(rig.wire(|wire| wire.half_closed));
    rig.wire(Wire::end);
    assert_eq!(rig.settle(), Next::Drop);
    (events(&rig), rig.output())
}

/// A session whose reads, limits and transport are drawn from a seed.
fn faulty(seed: u64) -> Rig {
    let mut random = Random(seed);
    let mut rig = Rig::new(|options, _| options.pause_reading_at = random.bytes());
    rig.buffer = vec![0; random.bytes()];
    rig.wire(|wire| {
        wire.room = 0;
        wire.faults = Some(Random(seed ^ 1));
    });
    rig
}

/// Runs a session under a seed's schedule. Returns whether it came to its end: one that waits with
/// no event left is stuck.
fn run(rig: &mut Rig, bytes: &[u8], seed: u64) -> bool {
    let mut random = Random(seed ^ 2);
    let spurious = random.one_in(2);
    rig.wire(|wire| wire.input = bytes.to_vec());
    let mut again = true;
    loop {
        let to_come = rig.wire(|wire| {
            let arriving = wire.arrived < wire.input.len();
            let ending = !arriving && wire.half_closed && !wire.fin;
            let blocked = wire.blocked;
            if arriving && random.one_in(2) {
                wire.arrive(random.bytes());
            }
            if ending {
                wire.end();
            }
            if blocked && random.one_in(2) {
                wire.give_room(random.bytes());
            }
            arriving || ending || blocked
        });
        let told = rig.wire(|wire| wire.readable || wire.writable);
        if told || again || spurious && random.one_in(4) {
            match rig.drive() {
                Next::Drop => return true,
                next => again = next == Next::Again,
            }
        } else if !to_come {
            return false;
        }
    }
}

/// E2.
#[test]
fn the_output_and_the_events_are_those_of_ideal_input_and_output() {
    for (name, bytes) in transcripts() {
        let (expected, output) = ideal(&bytes);
        for seed in 0..300 {
            let mut rig = faulty(seed);
            let what = alloc::format!("{name}, seed {seed}");
            assert!(run(&mut rig, &bytes, seed), "{what}: stuck");
            assert!(events(&rig) == expected, "{what}: other events");
            assert!(rig.output() == output, "{what}: other output");
        }
    }
}

/// `seen` is the beginning of `expected`, and one `Close` behind it if the session was open.
#[track_caller]
fn assert_cut(seen: &[Told], expected: &[Told], what: &str) {
    let closes = seen.iter().filter(|it| matches!(it, Told::Close(_)));
    let opens = seen.iter().filter(|it| **it == Told::Open);
    assert_eq!(closes.count(), opens.count(), "{what}: {seen:?}");
    if let Some((last, before)) = seen.split_last() {
        assert!(matches!(last, Told::Close(_)), "{what}: {last:?}");
        assert!(expected.starts_with(before), "{what}: {seen:?}");
    }
}

#[test]
fn after_a_reset_at_any_point_a_session_is_told_its_end_once_and_dropped() {
    for (name, bytes) in transcripts() {
        let (expected, output) = ideal(&bytes);
        for seed in 0..150 {
            let mut rig = faulty(seed);
            let after = Random(seed).below(200);
            rig.wire(|wire| wire.reset_after = Some(after));
            let what = alloc::format!("{name}, reset after {after} calls, seed {seed}");
            assert!(run(&mut rig, &bytes, seed), "{what}: stuck");
            assert_cut(&events(&rig), &expected, &what);
            assert!(output.starts_with(&rig.output()), "{what}: other output");
        }
    }
}

/// F16, H23: the end of the stream after any number of bytes, reported with the last of them.
#[test]
fn a_hang_up_behind_pending_data_ends_an_open_session_once_and_loses_no_message() {
    let frames = Client::new().text("hello").fragments(40, 9).binary(130).1;
    let (head, bytes) = (upgrade().len(), [upgrade(), frames].concat());
    let mut whole = Rig::new(|_, _| {});
    whole.receive(&bytes);
    let expected = events(&whole);
    for length in 0..=bytes.len() {
        for (first, buffer) in [(0, 1), (0, 4096), (head, 1), (head, 64)] {
            let mut rig = Rig::new(|_, _| {});
            rig.buffer = vec![0; buffer];
            let first = first.min(length);
            rig.receive(&bytes[..first]);
            rig.wire(Wire::end);
            assert_eq!(rig.receive(&bytes[first..length]), Next::Drop);
            let seen = events(&rig);
            assert_cut(&seen, &expected, "hang-up");
            if first < head {
                assert_eq!(seen, [], "H23: gone before the 101 is written");
            } else if length == bytes.len() {
                assert_eq!(seen.len(), expected.len() + 1, "all was delivered");
            }
        }
    }
}
