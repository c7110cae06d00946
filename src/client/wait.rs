//! Waiting for sockets, and being woken from another thread.

use alloc::vec::Vec;
use core::time::Duration;
use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};

/// Some platforms count a timeout in milliseconds of an `int`; waking once a day costs nothing.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a socket is waited for.
#[derive(Clone, Copy)]
pub(super) struct Interest {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Interest {
    fn flags(self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.read);
        flags.set(PollFlags::OUT, self.write);
        flags
    }
}

/// Waits until the socket is ready, `wakeup` is woken or `timeout` has passed; returns whether the
/// socket is ready. An end and an error are readiness, too: reading or writing tells which. May
/// return early.
///
/// # Errors
/// The operating system's error.
pub(super) fn wait(
    socket: BorrowedFd<'_>,
    interest: Interest,
    wakeup: Option<&Wakeup>,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let socket = PollFd::from_borrowed_fd(socket, interest.flags());
    match wakeup {
        None => {
            let mut sources = [socket];
            wait_for(&mut sources, timeout)?;
            Ok(is_ready(&sources[0]))
        }
        Some(wakeup) => {
            let mut sources = [socket, PollFd::new(&wakeup.receiver, PollFlags::IN)];
            wait_for(&mut sources, timeout)?;
            if is_ready(&sources[1]) {
                wakeup.clear();
            }
            Ok(is_ready(&sources[0]))
        }
    }
}

/// Waits until one of the sockets can be written to, as one that connects can once it has connected
/// or failed; returns which can.
///
/// # Errors
/// The operating system's error.
pub(super) fn wait_to_write<S: AsFd>(
    sockets: &[S],
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let sources = sockets.iter().map(|it| PollFd::new(it, PollFlags::OUT));
    let mut sources: Vec<_> = sources.collect();
    wait_for(&mut sources, timeout)?;
    Ok(sources.iter().map(is_ready).collect())
}

fn wait_for(sources: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|it| Timespec::try_from(it.min(LONGEST)));
    // At most a day fits.
    let timeout = timeout.and_then(Result::ok);
    match poll(sources, timeout.as_ref()) {
        Ok(_) => Ok(()),
        Err(error) => match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::Interrupted => {
                for source in sources {
                    source.clear_revents();
                }
                Ok(())
            }
            error => Err(error),
        },
    }
}

fn is_ready(source: &PollFd<'_>) -> bool {
    !source.revents().is_empty()
}

#[cfg(unix)]
type End = std::os::unix::net::UnixStream;
#[cfg(not(unix))]
type End = std::net::UdpSocket;

/// What wakes a thread that waits: a pair of sockets, since a socket is what the thread waits for.
pub(super) struct Wakeup {
    sender: End,
    receiver: End,
}

impl Wakeup {
    /// # Errors
    /// The operating system's error: it has no more descriptors, say.
    pub(super) fn new() -> io::Result<Self> {
        let (sender, receiver) = pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Wakes the thread that waits, or the next one that will. One write, so that a signal's handler
    /// may call it.
    pub(super) fn wake(&self) {
        // One that is full wakes, too.
        #[cfg(unix)]
        let _ = io::Write::write(&mut &self.sender, &[1]);
        #[cfg(not(unix))]
        let _ = self.sender.send(&[1]);
    }

    fn clear(&self) {
        let mut buffer = [0; 64];
        #[cfg(unix)]
        while matches!(io::Read::read(&mut &self.receiver, &mut buffer), Ok(1..)) {}
        #[cfg(not(unix))]
        while self.receiver.recv(&mut buffer).is_ok() {}
    }
}

#[cfg(unix)]
fn pair() -> io::Result<(End, End)> {
    End::pair()
}

#[cfg(not(unix))]
fn pair() -> io::Result<(End, End)> {
    let (sender, receiver) = (End::bind("127.0.0.1:0")?, End::bind("127.0.0.1:0")?);
    sender.connect(receiver.local_addr()?)?;
    // Nobody else can wake it.
    receiver.connect(sender.local_addr()?)?;
    Ok((sender, receiver))
}
