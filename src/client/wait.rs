//! Waiting for sockets.

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

/// Waits until the socket is ready or `timeout` has passed; returns whether it is ready. An end and
/// an error are readiness, too: reading or writing tells which. May return early.
///
/// # Errors
/// The operating system's error.
pub(super) fn wait(
    socket: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut sources = [PollFd::from_borrowed_fd(socket, interest.flags())];
    wait_for(&mut sources, timeout)?;
    Ok(is_ready(&sources[0]))
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
