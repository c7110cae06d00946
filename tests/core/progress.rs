//! D2: what has begun to arrive must go on, at a rate that a slow honest upload has and a drip has
//! not; and a caller that doesn't read blames nobody for it. On a virtual clock.

use core::time::Duration;

use harness::sansio::*;
use sockeye::error::{Fault, LimitError};
use sockeye::proto::{Config, Connection, ReceiveRate, Role};

extern crate alloc;
use alloc::sync::Arc;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The default rate, 1 KiB in 30 s, and no keep-alive in between.
fn rate() -> Arc<Config> {
    config(|it| it.ping_interval = None)
}

fn too_slow() -> Fault {
    let (bytes, period) = (1024, secs(30));
    Fault::Limit(LimitError::ReceiveRate { bytes, period })
}

/// A connection, its clock, and what it has sent.
struct End {
    conn: Connection,
    now: Duration,
    out: Vec<u8>,
}

impl End {
    fn new(role: Role, config: &Arc<Config>) -> Self {
        Self {
            conn: endpoint(role, config),
            now: Duration::ZERO,
            out: Vec::new(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let (seen, _) = drive_from(&mut self.conn, bytes, &[bytes.len()], self.now);
        assert_eq!(seen.fault, None);
    }

    /// Lets time pass as a caller does that is woken at each deadline; the fault, if one came.
    fn wait(&mut self, time: Duration) -> Option<(Duration, Fault)> {
        let end = self.now + time;
        while let Some(due) = self.conn.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            if let Err(fault) = self.conn.handle_timeout(self.now, &mut self.out) {
                return Some((self.now, fault));
            }
        }
        self.now = end;
        None
    }
}

/// What can be left incomplete: names and the bytes to get there.
fn incomplete(role: Role) -> Vec<(&'static str, Vec<u8>)> {
    let whole = frame_to(role, true, TEXT, b"Hello");
    let last = frame_to(role, true, CONTINUATION, b"Hello");
    let ping = frame_to(role, true, PING, b"Hello");
    let first = frame_to(role, false, TEXT, b"Hello");
    vec![
        ("one byte of a header", whole[..1].to_vec()),
        ("a header", whole[..whole.len() - 5].to_vec()),
        ("half a payload", whole[..whole.len() - 2].to_vec()),
        ("a fragment", first.clone()),
        ("half a fragment", first[..first.len() - 2].to_vec()),
        (
            "half a last fragment",
            [&first[..], &last[..last.len() - 2]].concat(),
        ),
        ("a ping inside a message", [&first[..], &ping[..]].concat()),
        ("half a ping", ping[..ping.len() - 2].to_vec()),
    ]
}

#[test]
fn d2_what_is_left_incomplete_is_failed_with_1008_after_the_period() {
    for role in ROLES {
        for (name, bytes) in incomplete(role) {
            let mut end = End::new(role, &rate());
            assert_eq!(end.conn.poll_timeout(), None, "{name}");
            end.wait(secs(100));
            end.receive(&bytes);
            assert_eq!(end.conn.poll_timeout(), Some(secs(130)), "{name}");
            assert_eq!(end.wait(secs(60)), Some((secs(130), too_slow())), "{name}");
            let frames = frames_from(role, &end.out);
            assert_eq!(frames.len(), 1, "{name}");
            assert_eq!(frames[0].close_code(), Some(1008), "{name}");
            assert_eq!(end.conn.fault(), Some(too_slow()), "{name}");
        }
    }
}

#[test]
fn d2_a_drip_does_not_postpone_it() {
    for role in ROLES {
        // Bytes of a frame, fragments of one byte, empty ones, pings in between.
        let long = frame_to(role, true, BINARY, &[7; 10_000]);
        let one = frame_to(role, false, CONTINUATION, b"x");
        let empty = frame_to(role, false, CONTINUATION, b"");
        let ping = frame_to(role, true, PING, &[b'p'; 125]);
        let first = frame_to(role, false, BINARY, b"");
        let drips: [(&[u8], Vec<Vec<u8>>); 4] = [
            (
                &long[..20],
                long[20..120].chunks(1).map(Into::into).collect(),
            ),
            (&first, vec![one; 100]),
            (&first, vec![empty; 100]),
            (&first, vec![ping; 100]),
        ];
        for (begin, drip) in drips {
            let mut end = End::new(role, &rate());
            end.receive(begin);
            let fault = drip.iter().find_map(|bytes| {
                end.receive(bytes);
                end.wait(secs(1))
            });
            assert_eq!(fault, Some((secs(30), too_slow())));
        }
    }
}

#[test]
fn d2_a_slow_honest_upload_lives() {
    for role in ROLES {
        // 40 bytes a second for hours, in one frame and in many.
        let frame = frame_to(role, true, BINARY, &[7; 1 << 20]);
        let first = frame_to(role, false, BINARY, b"");
        let fragment = frame_to(role, false, CONTINUATION, &[7; 40]);
        let last = frame_to(role, true, CONTINUATION, b"");
        let mut end = End::new(role, &rate());
        for bytes in frame.chunks(40) {
            end.receive(bytes);
            assert_eq!(end.wait(secs(1)), None);
        }
        end.receive(&first);
        for _ in 0..10_000 {
            end.receive(&fragment);
            assert_eq!(end.wait(secs(1)), None);
        }
        end.receive(&last);
        assert_eq!(end.conn.poll_timeout(), None);
        // A gap in an otherwise quick one.
        end.receive(&first);
        for _ in 0..20 {
            end.receive(&fragment.repeat(1000));
            assert_eq!(end.wait(secs(29)), None);
        }
    }
}

#[test]
fn what_ends_in_time_leaves_no_deadline_and_the_next_has_its_own() {
    for role in ROLES {
        for (name, begun) in incomplete(role) {
            if name == "a ping inside a message" {
                continue;
            }
            // The rest, then half of the next in the same read.
            let mut end = End::new(role, &rate());
            end.receive(&begun);
            assert_eq!(end.wait(secs(29)), None);
            let rest = match name {
                "half a ping" => frame_to(role, true, PING, b"Hello"),
                "a fragment" | "half a fragment" => [
                    frame_to(role, false, TEXT, b"Hello"),
                    frame_to(role, true, CONTINUATION, b""),
                ]
                .concat(),
                "half a last fragment" => [
                    frame_to(role, false, TEXT, b"Hello"),
                    frame_to(role, true, CONTINUATION, b"Hello"),
                ]
                .concat(),
                _ => frame_to(role, true, TEXT, b"Hello"),
            };
            let next = frame_to(role, true, PING, b"next");
            end.receive(&[&rest[begun.len()..], &next[..3]].concat());
            assert_eq!(end.conn.poll_timeout(), Some(secs(59)), "{name}");
            end.receive(&next[3..]);
            assert_eq!(end.conn.poll_timeout(), None, "{name}");
        }
    }
}

#[test]
fn without_a_rate_a_message_may_stay_unfinished() {
    for role in ROLES {
        let never = config(|it| {
            it.ping_interval = None;
            it.min_receive_rate = None;
        });
        for (name, bytes) in incomplete(role) {
            let mut end = End::new(role, &never);
            end.receive(&bytes);
            assert_eq!(end.wait(secs(100_000)), None, "{name}");
        }
        let endless = config(|it| {
            it.ping_interval = None;
            let (bytes, period) = (u64::MAX, Duration::MAX);
            it.min_receive_rate = Some(ReceiveRate { bytes, period });
        });
        let mut end = End::new(role, &endless);
        end.now = secs(1);
        end.receive(&frame_to(role, false, TEXT, b"Hello"));
        assert_eq!(end.conn.poll_timeout(), None);
    }
}

#[test]
fn a_close_ends_the_rule() {
    for role in ROLES {
        let mut end = End::new(role, &rate());
        end.receive(&frame_to(role, false, TEXT, b"Hello"));
        end.conn.close(None, "", &mut end.out, end.now).unwrap();
        assert_eq!(end.conn.poll_timeout(), Some(secs(10)));
    }
}

// ---- pauses ---------------------------------------------------------------------------------

#[test]
fn a_caller_that_does_not_read_blames_nobody_and_the_time_begins_anew() {
    let all = config(|it| it.idle_timeout = Some(secs(40)));
    for role in ROLES {
        for (name, bytes) in incomplete(role) {
            let mut end = End::new(role, &all);
            end.receive(&bytes);
            assert_eq!(end.wait(secs(20)), None);
            end.conn.pause(true, end.now);
            end.conn.pause(true, end.now);
            assert_eq!(end.conn.poll_timeout(), None, "{name}");
            assert_eq!(end.wait(secs(3600)), None);
            end.conn.pause(false, end.now);
            end.conn.pause(false, end.now);
            assert_eq!(end.conn.poll_timeout(), Some(end.now + secs(30)), "{name}");
            let fault = Some((end.now + secs(30), too_slow()));
            assert_eq!(end.wait(secs(100)), fault, "{name}");
        }
    }
}

#[test]
fn a_ping_that_waits_for_its_pong_waits_anew_after_a_pause() {
    for role in ROLES {
        let mut end = End::new(role, &default_config());
        assert_eq!(end.wait(secs(40)), None);
        end.conn.pause(true, end.now);
        assert_eq!(end.wait(secs(100)), None);
        end.conn.pause(false, end.now);
        // Pinged again, and failed if that is not answered either.
        let timeout = secs(20);
        let fault = Fault::Limit(LimitError::Pong { timeout });
        assert_eq!(end.wait(secs(100)), Some((secs(190), fault)));
        assert_eq!(frames_from(role, &end.out).len(), 3);
    }
}

#[test]
fn a_close_has_its_deadline_also_in_a_pause() {
    for role in ROLES {
        let mut end = End::new(role, &default_config());
        end.conn.pause(true, end.now);
        end.conn.close(None, "", &mut end.out, end.now).unwrap();
        assert_eq!(end.conn.poll_timeout(), Some(secs(10)));
    }
}
