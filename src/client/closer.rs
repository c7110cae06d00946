//! Closing a client from elsewhere.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use super::link::Waking;

/// Closes a client's connection from another thread, or from a signal's handler; see
/// [`Client::closer`](super::Client::closer).
///
/// ```no_run
/// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/feed")?;
/// let closer = client.closer()?;
/// std::thread::spawn(move || {
///     let _ = std::io::stdin().read_line(&mut String::new());
///     closer.close();
/// });
/// while let Some(message) = client.recv()? {
///     println!("{:?}", message.as_text());
/// }
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone)]
pub struct Closer(pub(super) Arc<Waking>);

impl Closer {
    /// Wakes the call that receives, or the next one, which closes the connection with
    /// [1001](crate::proto::CloseCode::GOING_AWAY), goes on to the server's Close, for at most
    /// [`close_timeout`](crate::proto::Config::close_timeout), and returns the end. Does no more than
    /// set a flag and write a byte to a socket.
    pub fn close(&self) {
        self.0.close.store(true, Ordering::Relaxed);
        self.0.wakeup.wake();
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closer")
    }
}
