use super::*;

/// Takes at most `step` bytes at a time and blocks after `room` bytes.
struct Narrow {
    taken: Vec<u8>,
    step: usize,
    room: usize,
    calls: usize,
}

impl Transport for Narrow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn read_both(&mut self, _: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let room = self.step.min(self.room);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let all: Vec<u8> = slices.iter().flat_map(|it| it.iter().copied()).collect();
        let count = all.len().min(room);
        self.taken.extend_from_slice(&all[..count]);
        self.room -= count;
        Ok(count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all that the transport takes, as a session does.
fn write(queue: &mut WriteQueue, narrow: &mut Narrow, fresh: &mut Vec<u8>) -> bool {
    let written = queue.write(narrow, fresh, &Pool::default());
    queue
        .wrote(written, narrow, fresh, &Pool::default(), Duration::ZERO)
        .unwrap()
}

#[test]
fn keeps_the_order_through_short_writes_and_blocking() {
    for step in [1, 2, 3, 7, 1000] {
        let mut queue = WriteQueue::default();
        let mut narrow = Narrow {
            taken: Vec::new(),
            step,
            room: 0,
            calls: 0,
        };
        let mut expected = Vec::new();
        for turn in 0..200_usize {
            let mut fresh = vec_of(turn, turn % 11);
            expected.extend_from_slice(&fresh);
            if turn % 5 == 0 {
                queue.extend(&fresh);
                fresh.clear();
                let moved = vec_of(turn + 1, 6);
                expected.extend_from_slice(&moved[2..]);
                queue.push(moved, 2, Keep::Always);
            }
            narrow.room = turn % 13;
            let drained = write(&mut queue, &mut narrow, &mut fresh);
            assert!(fresh.is_empty());
            assert_eq!(drained, queue.is_empty());
            assert_eq!(narrow.taken.len() + queue.len(), expected.len());
        }
        narrow.room = usize::MAX;
        assert!(write(&mut queue, &mut narrow, &mut Vec::new()));
        assert_eq!(narrow.taken, expected, "step {step}");
    }
}

#[test]
fn published_frames_keep_their_order_and_are_there_as_long_as_somebody_waits_for_them() {
    for (step, room) in [(1000, 0), (1000, 1), (3, 7), (7, 20), (1, 39), (1000, 45)] {
        let (mut queue, pool) = (WriteQueue::default(), Pool::default());
        let mut expected = Vec::new();
        for round in 0..3 {
            let own = vec_of(round, 4);
            queue.extend(&own);
            expected.extend_from_slice(&own);
            // Two in a row are one piece; a frame between them that others got is not among them.
            for (frame, mine) in [(105, true), (6, true), (77, false), (108, true)] {
                let frame = vec_of(10 * round + frame, frame);
                let place = pool.publish(&frame).unwrap();
                if mine {
                    queue.push_published(&place, &pool);
                    expected.extend_from_slice(&frame);
                }
            }
        }
        assert_eq!(queue.0.as_ref().unwrap().items.len(), 9);
        assert_eq!(queue.len(), expected.len());
        let mut narrow = Narrow {
            taken: Vec::new(),
            step,
            room,
            calls: 0,
        };
        let written = queue.write(&mut narrow, &[], &pool);
        let mut fresh = vec_of(99, 3);
        expected.extend_from_slice(&fresh);
        let drained = queue.wrote(written, &mut narrow, &mut fresh, &pool, Duration::ZERO);
        assert!(!drained.unwrap());
        assert!(!queue.holds_published());
        pool.turn_over();
        pool.publish(&[0xFF; 100]).unwrap();
        narrow.room = usize::MAX;
        assert!(write(&mut queue, &mut narrow, &mut Vec::new()));
        assert_eq!(narrow.taken, expected, "step {step}, room {room}");
    }
}

#[test]
fn writes_a_backlog_and_fresh_bytes_in_one_call() {
    let mut queue = WriteQueue::default();
    queue.push(vec_of(1, 10), 0, Keep::Always);
    queue.push(vec_of(2, 10), 0, Keep::Always);
    let mut narrow = Narrow {
        taken: Vec::new(),
        step: 1000,
        room: 1000,
        calls: 0,
    };
    assert!(write(&mut queue, &mut narrow, &mut vec_of(3, 10)));
    assert_eq!((narrow.calls, narrow.taken.len()), (1, 30));
}

#[test]
fn more_chunks_than_slices_keep_their_order() {
    let mut queue = WriteQueue::default();
    let mut expected = Vec::new();
    for at in 0..100 {
        expected.extend_from_slice(&vec_of(at, 3));
        queue.push(vec_of(at, 3), 0, Keep::Always);
    }
    let mut fresh = vec_of(7, 9);
    expected.extend_from_slice(&fresh);
    let mut narrow = Narrow {
        taken: Vec::new(),
        step: 1000,
        room: 100_000,
        calls: 0,
    };
    assert!(write(&mut queue, &mut narrow, &mut fresh));
    assert_eq!(narrow.taken, expected);
}

#[test]
fn only_what_is_not_under_way_is_given_up() {
    let mut queue = WriteQueue::default();
    let mut narrow = Narrow {
        taken: Vec::new(),
        step: 1000,
        room: 2,
        calls: 0,
    };
    let price = || Keep::UntilNext("price".into());
    let mut fresh = b"fresh".to_vec();
    assert!(!write(&mut queue, &mut narrow, &mut fresh));
    queue.push(b"a".to_vec(), 0, Keep::UntilFull);
    queue.push(b"old".to_vec(), 0, price());
    queue.push(b"b".to_vec(), 0, Keep::UntilFull);
    assert_eq!(queue.drop_key("price"), 1);
    assert_eq!(queue.drop_key("price"), 0);
    queue.push_shared(&Arc::from(&b"new"[..]), price());
    assert_eq!(queue.len(), 3 + 1 + 1 + 3);
    assert_eq!(queue.shrink_to(7), 1);
    assert_eq!(queue.shrink_to(0), 2);
    queue.push(b"c".to_vec(), 0, Keep::Always);
    queue.clear_unwritten();
    narrow.room = 1000;
    assert!(write(&mut queue, &mut narrow, &mut Vec::new()));
    assert_eq!(narrow.taken, b"fresh");
}

fn vec_of(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (seed * 31 + at) as u8).collect()
}

/// The queue counts what TLS holds, and is empty only once that is written, too.
#[cfg(all(feature = "tls", feature = "client"))]
#[test]
fn a_queue_over_tls_keeps_the_order_and_counts_what_is_held() {
    use crate::net::tls_tests::{Pair, read, some};

    for step in [1, 9, 1000] {
        let mut pair = Pair::connected(&rustls::version::TLS13, step);
        let (mut queue, pool) = (WriteQueue::default(), Pool::default());
        let (mut expected, mut taken) = (Vec::new(), Vec::new());
        for turn in 0..300 {
            let mut fresh = some(turn % 60);
            expected.extend_from_slice(&fresh);
            if turn % 5 == 0 {
                queue.extend(&fresh);
                fresh.clear();
            }
            let waiting = pair.down.bytes.borrow().len();
            pair.down.room.set(waiting + turn * 7 % 90);
            let now = Duration::from_secs(turn as u64);
            let written = queue.write(&mut pair.server, &fresh, &pool);
            let drained = queue.wrote(written, &mut pair.server, &mut fresh, &pool, now);
            assert_eq!(drained.unwrap(), queue.is_empty());
            assert_eq!(queue.held(), pair.server.held());
            assert_eq!(queue.is_empty(), queue.blocked_since().is_none());
            if turn % 3 == 0 {
                taken.extend(read(&mut pair.client).unwrap());
            }
        }
        pair.down.room.set(usize::MAX);
        let (fresh, now) = (&mut Vec::new(), Duration::ZERO);
        let written = queue.write(&mut pair.server, fresh, &pool);
        let done = queue.wrote(written, &mut pair.server, fresh, &pool, now);
        assert!(done.unwrap());
        taken.extend(read(&mut pair.client).unwrap());
        assert!(taken == expected, "step {step}");
    }
}
