//! The signals of the operating system, for a server that heeds them.
//!
//! Owns the thread that waits for them while the server runs. Leaves what each does to [`Handle`].

use std::boxed::Box;
use std::io;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::handle::Handle;
use crate::proto::CloseCode;

/// How a server drains on SIGTERM.
pub(super) struct DrainOnTerm {
    pub(super) over: Duration,
    pub(super) code: CloseCode,
    pub(super) reason: Box<str>,
}

/// Waits for signals until it is dropped. From then on each does what it does by default.
pub(super) struct Watcher {
    signals: signal_hook::iterator::Handle,
    thread: Option<JoinHandle<()>>,
    by_default: Arc<AtomicBool>,
}

impl Watcher {
    pub(super) fn start(server: Handle, drain: Option<DrainOnTerm>) -> io::Result<Self> {
        // Without certificates to read again SIGHUP keeps its meaning: the terminal is gone.
        let watched: &[i32] = match server.has_tls_files() {
            true => &[SIGINT, SIGTERM, SIGHUP],
            false => &[SIGINT, SIGTERM],
        };
        let by_default = Arc::new(AtomicBool::new(false));
        for signal in watched {
            flag::register_conditional_default(*signal, Arc::clone(&by_default))?;
        }
        // In this order the first one passes the line above, and the second one ends the process.
        flag::register(SIGINT, Arc::clone(&by_default))?;
        let mut signals = Signals::new(watched)?;
        let handle = signals.handle();
        let name = String::from("sockeye-signals");
        let thread = thread::Builder::new().name(name).spawn(move || {
            for signal in signals.forever() {
                match (signal, &drain) {
                    (SIGTERM, Some(drain)) => server.drain(drain.over, drain.code, &drain.reason),
                    (SIGINT | SIGTERM, _) => server.shut_down(),
                    // Observers are told of an error, and the certificates in use stay.
                    #[cfg(feature = "tls")]
                    _ => drop(server.reload_tls()),
                    #[cfg(not(feature = "tls"))]
                    _ => {}
                }
            }
        })?;
        Ok(Self {
            signals: handle,
            thread: Some(thread),
            by_default,
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.by_default.store(true, Ordering::SeqCst);
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // It has no code that panics.
            let _ = thread.join();
        }
    }
}
