//! Threads that do an application's slow work beside the workers.
//!
//! Owns the threads and the order of the work. What follows the work on its connection is in
//! `session/deferred.rs`; how it is asked for, in `socket/deferring.rs`.

use std::any::Any;
use std::boxed::Box;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use mio::Token;

use super::call::Guarded;
use super::run::inbox::{Command, Inbox};

/// Threads for slow work of a connection: verifying a token, a query, a file. See
/// [`Socket::defer`](super::Socket::defer).
///
/// Clones share the threads, which end with the last clone, each once no work is left. A pool may
/// serve many handlers and several servers. Work begins in the order in which it was deferred.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<Threads>,
}

/// Closes the queue with the last [`Pool`].
struct Threads {
    queue: Arc<Queue>,
    count: usize,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// A connection that ends drops its jobs.
    waiting: VecDeque<Weak<Job>>,
    /// The length at which those that were dropped are removed.
    sweep_at: usize,
    closed: bool,
}

/// Below this many jobs none are swept: a thread that takes one passes over those that were dropped.
const SWEEP_FROM: usize = 256;

impl Pool {
    /// Starts this many threads, at least one.
    ///
    /// As many as the work needs: one for each processor for work that computes, more for work that
    /// waits for others.
    ///
    /// # Panics
    /// If the operating system can't start a thread.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let queue = Arc::new(Queue::default());
        let threads = Arc::new(Threads {
            queue: Arc::clone(&queue),
            count: threads.max(1),
        });
        for _ in 0..threads.count {
            let queue = Arc::clone(&queue);
            let run = move || {
                while let Some(job) = queue.next() {
                    job.run();
                }
            };
            let spawned = thread::Builder::new().name("sockeye-pool".to_string());
            spawned
                .spawn(run)
                .expect("the operating system starts a thread");
        }
        Self { threads }
    }

    pub(super) fn add(&self, job: &Arc<Job>) {
        self.threads.queue.add(Arc::downgrade(job));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads.count)
            .field("waiting", &self.threads.queue.lock().waiting.len())
            .finish()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn add(&self, job: Weak<Job>) {
        let mut jobs = self.lock();
        if jobs.waiting.len() >= jobs.sweep_at.max(SWEEP_FROM) {
            jobs.waiting.retain(|it| it.strong_count() > 0);
            jobs.sweep_at = 2 * jobs.waiting.len();
        }
        jobs.waiting.push_back(job);
        drop(jobs);
        self.changed.notify_one();
    }

    /// Waits for a job; returns None once the pool is gone and no job is left.
    fn next(&self) -> Option<Arc<Job>> {
        let mut jobs = self.lock();
        loop {
            while let Some(job) = jobs.waiting.pop_front() {
                if let Some(job) = job.upgrade() {
                    return Some(job);
                }
            }
            if jobs.closed {
                return None;
            }
            jobs = (self.changed.wait(jobs)).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work without its type; it returns the function that its connection continues with.
type Work = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// Work of a connection, which owns it.
pub(super) struct Job {
    progress: Mutex<Progress>,
    token: Token,
    inbox: Arc<Inbox>,
}

enum Progress {
    Waiting(Guarded<Work>),
    Running,
    Done(Outcome),
}

/// What work has come to.
pub(super) enum Outcome {
    /// The function to continue with.
    Continue(Guarded<Box<dyn Any + Send>>),
    Panicked,
}

impl Job {
    pub(super) fn new(work: Work, token: Token, inbox: &Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self {
            progress: Mutex::new(Progress::Waiting(Guarded::new(work))),
            token,
            inbox: Arc::clone(inbox),
        })
    }

    /// Does the work, and tells its connection's worker.
    pub(super) fn run(&self) {
        let Progress::Waiting(work) = mem::replace(&mut *self.lock(), Progress::Running) else {
            return;
        };
        let Some(work) = work.into_inner() else {
            return;
        };
        let outcome = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(function) => Outcome::Continue(Guarded::new(function)),
            Err(panic) => {
                drop(Guarded::new(panic));
                Outcome::Panicked
            }
        };
        *self.lock() = Progress::Done(outcome);
        // Whatever waits: the connection is not read from until then.
        self.inbox.push(Command::Worked(self.token));
    }

    /// Returns what it has come to, if it is done.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let mut progress = self.lock();
        match mem::replace(&mut *progress, Progress::Running) {
            Progress::Done(outcome) => Some(outcome),
            under_way => {
                *progress = under_way;
                None
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(&*self.lock(), Progress::Done(_))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
