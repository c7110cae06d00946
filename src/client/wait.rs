//! Waiting for a socket.

use core::time::Duration;
use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

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
