//! The bytes of a session that are accepted and not yet written.
//!
//! Owns their order and their count. When to write, and what to do when there are too many, is
//! the session's.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use std::io::{self, IoSlice};

use super::Transport;

/// Slices for one vectored write: past some tens, a system call's fixed cost no longer matters.
const MAX_SLICES: usize = 32;

/// Leftovers are gathered in chunks up to this size, so that many small ones don't each keep a
/// buffer and a large one is not moved again and again.
const CHUNK: usize = 64 * 1024;

/// A session without a backlog owns no buffer here.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    chunks: VecDeque<Chunk>,
    length: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where the unwritten part begins.
    start: usize,
}

impl WriteQueue {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Queues `bytes` from `start` on, without a copy.
    pub(crate) fn push(&mut self, bytes: Vec<u8>, start: usize) {
        if start < bytes.len() {
            self.length += bytes.len() - start;
            self.chunks.push_back(Chunk { bytes, start });
        }
    }

    /// Queues a copy of `bytes`.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        match self.chunks.back_mut() {
            Some(last) if last.bytes.len() + bytes.len() <= CHUNK => {
                last.bytes.extend_from_slice(bytes);
                self.length += bytes.len();
            }
            _ => self.push(bytes.to_vec(), 0),
        }
    }

    /// Writes what waits and then `fresh`, in as few system calls as it takes, and queues what
    /// the transport doesn't take. `fresh` is empty afterwards. Answers whether nothing waits any
    /// more.
    ///
    /// # Errors
    /// The transport's; it is broken then.
    pub(crate) fn write(
        &mut self,
        transport: &mut impl Transport,
        fresh: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut fresh_at = 0;
        while self.length > 0 || fresh_at < fresh.len() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let waiting = self.chunks.iter().map(|it| &it.bytes[it.start..]);
            // `fresh` goes along only when everything before it does.
            let last = (self.chunks.len() < MAX_SLICES).then_some(&fresh[fresh_at..]);
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(waiting.chain(last)) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            match transport.write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => fresh_at += self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.extend(&fresh[fresh_at..]);
                    fresh.clear();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        fresh.clear();
        self.chunks = VecDeque::new();
        Ok(true)
    }

    /// Removes `written` bytes from the front; answers how many were written beyond the queue.
    fn advance(&mut self, mut written: usize) -> usize {
        while let Some(first) = self.chunks.front_mut() {
            let waiting = first.bytes.len() - first.start;
            if written < waiting {
                first.start += written;
                self.length -= written;
                return 0;
            }
            written -= waiting;
            self.length -= waiting;
            self.chunks.pop_front();
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `step` bytes at a time and blocks after `room`.
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
                    queue.push(moved, 2);
                }
                narrow.room = turn % 13;
                let drained = queue.write(&mut narrow, &mut fresh).unwrap();
                assert!(fresh.is_empty());
                assert_eq!(drained, queue.is_empty());
                assert_eq!(narrow.taken.len() + queue.len(), expected.len());
            }
            narrow.room = usize::MAX;
            assert!(queue.write(&mut narrow, &mut Vec::new()).unwrap());
            assert_eq!(narrow.taken, expected, "step {step}");
        }
    }

    #[test]
    fn writes_a_backlog_and_fresh_bytes_in_one_call() {
        let mut queue = WriteQueue::default();
        queue.push(vec_of(1, 10), 0);
        queue.push(vec_of(2, 10), 0);
        let mut narrow = Narrow {
            taken: Vec::new(),
            step: 1000,
            room: 1000,
            calls: 0,
        };
        assert!(queue.write(&mut narrow, &mut vec_of(3, 10)).unwrap());
        assert_eq!((narrow.calls, narrow.taken.len()), (1, 30));
    }

    #[test]
    fn more_chunks_than_slices_keep_their_order() {
        let mut queue = WriteQueue::default();
        let mut expected = Vec::new();
        for at in 0..100 {
            expected.extend_from_slice(&vec_of(at, 3));
            queue.push(vec_of(at, 3), 0);
        }
        let mut fresh = vec_of(7, 9);
        expected.extend_from_slice(&fresh);
        let mut narrow = Narrow {
            taken: Vec::new(),
            step: 1000,
            room: 100_000,
            calls: 0,
        };
        assert!(queue.write(&mut narrow, &mut fresh).unwrap());
        assert_eq!(narrow.taken, expected);
    }

    fn vec_of(seed: usize, length: usize) -> Vec<u8> {
        (0..length).map(|at| (seed * 31 + at) as u8).collect()
    }
}
