//! What passes to a worker: from other threads, from other workers, and from its own handlers what
//! has to keep its place behind these.
//!
//! Owns the order, which is the one in which commands were added, and the bound, which is in bytes.
//! Carrying commands out is the worker's; they name no type of an application's.

use std::boxed::Box;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use crate::proto::{CloseCode, PreparedMessage};
use crate::server::observe::ConnectionStats;
use crate::server::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::server::sync::{Mutex, MutexGuard, Waker, lock, thread_local};
use crate::server::topics::{SubscribeError, Subscribing, Topic};

/// Bytes of commands that may wait for one worker by default: a second of what a busy network card
/// brings, and half of it before publishers are slowed.
pub(in crate::server) const DEFAULT_CAPACITY: usize = 64 * 1024 * 1024;

/// A bit of the numbers of direct messages, which are counted apart: such a message comes
/// before all that is in the inbox.
pub(in crate::server) const DIRECT: u64 = 1 << 63;

/// A command was not taken, and will have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// As many bytes wait for a worker as [`max_inbox`](crate::server::Builder::max_inbox) allows:
    /// whoever fills it has to slow down. Nothing of the call has happened, so it may be repeated.
    Busy,
    /// The connection is over, or never was.
    Gone,
    /// The server has stopped.
    Stopped,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too many bytes wait for a worker (max_inbox): try again, more slowly",
            Self::Gone => "the connection is over",
            Self::Stopped => "the server has stopped",
        })
    }
}

impl std::error::Error for HandleError {}

/// Receives a worker's connections.
pub(in crate::server) type Inspect = dyn Fn(Vec<ConnectionStats>) + Send + Sync;

/// What is asked of a worker.
#[derive(Clone)]
pub(in crate::server) enum Command {
    Send(Token, PreparedMessage),
    Close(Token, CloseCode, Arc<str>),
    Terminate(Token),
    Publish(Publication),
    Subscribe(Token, Box<Subscribing>),
    Unsubscribe(Token, Arc<str>),
    /// A subscription that can't be, for its handler.
    Refuse(Token, Arc<str>, SubscribeError),
    /// The application has decided what the session waits for.
    Decided(Token),
    Inspect(Arc<Inspect>),
    /// At this time of the server's clock what is left is dropped.
    ShutDown(Duration),
}

/// A message on its way to the subscribers of one worker.
#[derive(Clone)]
pub(in crate::server) struct Publication {
    pub(in crate::server) topic: Arc<Topic>,
    pub(in crate::server) message: PreparedMessage,
    /// Its place in the topic.
    pub(in crate::server) offset: u64,
    pub(in crate::server) except: Option<Token>,
}

impl Command {
    /// Its bytes as they count against the bound: as a rule, those that it alone holds.
    pub(in crate::server) fn bytes(&self) -> usize {
        let held = match self {
            Self::Send(_, message) => message.payload().len(),
            Self::Publish(publication) => publication.message.payload().len(),
            Self::Close(_, _, reason) => reason.len(),
            Self::Subscribe(_, subscribing) => subscribing.bytes(),
            Self::Unsubscribe(_, topic) | Self::Refuse(_, topic, _) => topic.len(),
            Self::Terminate(_) | Self::Decided(_) | Self::Inspect(_) | Self::ShutDown(_) => 0,
        };
        size_of::<Self>() + held
    }

    /// The one connection that it is for.
    pub(in crate::server) fn token(&self) -> Option<Token> {
        match self {
            Self::Send(token, _)
            | Self::Close(token, ..)
            | Self::Terminate(token)
            | Self::Subscribe(token, _)
            | Self::Unsubscribe(token, _)
            | Self::Refuse(token, ..)
            | Self::Decided(token) => Some(*token),
            Self::Publish(_) | Self::Inspect(_) | Self::ShutDown(_) => None,
        }
    }
}

/// Commands on their way to a worker.
///
/// Each has a number, by which the worker and its sessions know what is carried out: twice its
/// place in the order, counted from 1. (An odd one is behind a command and before the next.)
pub(in crate::server) struct Inbox {
    queue: Mutex<Queue>,
    /// Of all commands that are not carried out yet, and of those that are about to be added.
    bytes: AtomicUsize,
    capacity: usize,
    stopped: AtomicBool,
    /// The number of the last command that the worker's own thread has added; 0 once it is carried
    /// out.
    own: AtomicU64,
    /// The workers that wait for room, a bit each.
    waiting: [AtomicU64; 2],
    /// None where nobody polls: in simulation.
    waker: Option<Waker>,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// How many were ever added.
    added: u64,
}

thread_local! {
    /// The inbox of the worker that runs on this thread, by its address.
    static OWN: Cell<usize> = const { Cell::new(0) };
    /// Whether some of its own commands wait, as [`Inbox::own`] says: this costs less to ask.
    static OWN_WAITS: Cell<bool> = const { Cell::new(false) };
}

/// Whether commands wait that a handler of this thread's worker has added.
#[inline]
pub(in crate::server) fn own_waits() -> bool {
    OWN_WAITS.with(Cell::get)
}

/// Bytes of an inbox that are kept for commands which will be added; given back if they aren't.
#[must_use]
pub(in crate::server) struct Reserved<'i> {
    inbox: &'i Inbox,
    bytes: usize,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.inbox.release(self.bytes);
        // Its worker has no command to carry out, and has to wake the workers that wait for room.
        if self.inbox.is_waited_for() {
            self.inbox.wake();
        }
    }
}

impl Reserved<'_> {
    /// Adds the command that this was reserved for.
    pub(in crate::server) fn add(self, command: Command) {
        debug_assert_eq!(command.bytes(), self.bytes);
        let inbox = self.inbox;
        mem::forget(self);
        inbox.add(command);
    }
}

impl Inbox {
    pub(in crate::server) fn new(waker: Option<Waker>, capacity: usize) -> Self {
        Self {
            queue: Mutex::new(Queue::default()),
            bytes: AtomicUsize::new(0),
            capacity,
            stopped: AtomicBool::new(false),
            own: AtomicU64::new(0),
            waiting: [AtomicU64::new(0), AtomicU64::new(0)],
            waker,
        }
    }

    // ---- whoever has a command ----------------------------------------------------------------

    /// Keeps room for a command of so many bytes.
    ///
    /// # Errors
    /// There is none, or the worker has stopped.
    pub(in crate::server) fn reserve(&self, bytes: usize) -> Result<Reserved<'_>, HandleError> {
        if self.is_stopped() {
            return Err(HandleError::Stopped);
        }
        // An empty inbox takes a command of any length.
        let fits = |waiting: usize| {
            (waiting == 0 || waiting + bytes <= self.capacity).then_some(waiting + bytes)
        };
        match self
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
        {
            Ok(_) => Ok(Reserved { inbox: self, bytes }),
            Err(_) => Err(HandleError::Busy),
        }
    }

    /// Keeps room in any case: for what ends something, or announces what has happened.
    pub(in crate::server) fn reserve_always(&self, bytes: usize) -> Reserved<'_> {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Reserved { inbox: self, bytes }
    }

    /// Adds a command if there is room.
    pub(in crate::server) fn send(&self, command: Command) -> Result<(), HandleError> {
        let reserved = self.reserve(command.bytes())?;
        reserved.add(command);
        Ok(())
    }

    /// Adds a command in any case.
    pub(in crate::server) fn push(&self, command: Command) {
        self.reserve_always(command.bytes()).add(command);
    }

    /// Its bytes are counted.
    fn add(&self, command: Command) {
        let bytes = command.bytes();
        let own = self.is_own();
        let mut queue = self.lock();
        if self.is_stopped() {
            drop(queue);
            return self.release(bytes);
        }
        let first = queue.commands.is_empty();
        queue.commands.push_back(command);
        queue.added += 1;
        if own {
            self.own.store(2 * queue.added, Ordering::Relaxed);
            OWN_WAITS.with(|it| it.set(true));
        }
        drop(queue);
        if first && !own {
            self.wake();
        }
    }

    /// Wakes the worker.
    pub(in crate::server) fn wake(&self) {
        if let Some(waker) = &self.waker {
            // It fails only when the worker's poll is gone, and with it the worker.
            let _ = waker.wake();
        }
    }

    /// Whether a command is there to be taken; one that is about to be wakes the worker.
    pub(in crate::server) fn has_commands(&self) -> bool {
        !self.lock().commands.is_empty()
    }

    /// Whether a message may go past the inbox: nothing waits in it. Asked by its worker only.
    #[inline]
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Bytes that wait.
    pub(in crate::server) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Publishers are to wait: half of it is full.
    pub(in crate::server) fn is_filling(&self) -> bool {
        self.bytes() > self.capacity / 2
    }

    /// Whether publishers that wait may go on: there is room, or the worker has stopped.
    ///
    /// A waiter registers before it checks, and room is made before the waiters are read. So that
    /// one of them sees the other, all of this is `SeqCst`.
    pub(in crate::server) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) <= self.capacity / 4
            || self.stopped.load(Ordering::SeqCst)
    }

    /// Registers a worker to be woken once there is room. It checks again afterwards, since there
    /// may be room already.
    pub(in crate::server) fn wait(&self, worker: usize) {
        self.waiting[worker / 64].fetch_or(1 << (worker % 64), Ordering::SeqCst);
    }

    /// Whether publishers may go on, by all of these; if not, `worker` is woken to look again.
    pub(in crate::server) fn have_room_for(worker: usize, inboxes: &[Arc<Self>]) -> bool {
        let have_room = || inboxes.iter().all(|it| it.has_room());
        if have_room() {
            return true;
        }
        for inbox in inboxes {
            inbox.wait(worker);
        }
        // One that has drained since would wake nobody.
        have_room()
    }

    // ---- its worker ---------------------------------------------------------------------------

    /// From here on the worker runs on this thread.
    pub(in crate::server) fn own_thread(&self) {
        OWN.with(|it| it.set(self.address()));
        OWN_WAITS.with(|it| it.set(self.own() != 0));
    }

    /// From here on no worker runs on this thread.
    pub(in crate::server) fn leave_thread() {
        OWN.with(|it| it.set(0));
        OWN_WAITS.with(|it| it.set(false));
    }

    fn is_own(&self) -> bool {
        OWN.with(Cell::get) == self.address()
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The number of the last command that a handler of the worker's has added and that is not
    /// carried out; 0 if there is none.
    #[inline]
    pub(in crate::server) fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// A message of a handler's went past the inbox, behind the commands below this number, and has
    /// yet to come to some of its subscribers.
    pub(in crate::server) fn own_begun(&self, number: u64) {
        self.own.store(number, Ordering::Relaxed);
        OWN_WAITS.with(|it| it.set(true));
    }

    /// The handlers' commands up to this number are carried out.
    pub(in crate::server) fn own_done(&self, number: u64) {
        if self.own() <= number {
            self.own.store(0, Ordering::Relaxed);
            OWN_WAITS.with(|it| it.set(false));
        }
    }

    /// Moves what has come behind `taken`.
    pub(in crate::server) fn take(&self, taken: &mut VecDeque<Command>) {
        let mut queue = self.lock();
        match taken.is_empty() {
            true => mem::swap(&mut queue.commands, taken),
            false => taken.append(&mut queue.commands),
        }
    }

    /// Counts a command that is to be carried out and was never added.
    pub(in crate::server) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// A command of so many bytes is carried out, or won't be. The workers that wait for room are
    /// woken by `wake`.
    pub(in crate::server) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether workers wait for room.
    #[inline]
    pub(in crate::server) fn is_waited_for(&self) -> bool {
        let waits = |it: &AtomicU64| it.load(Ordering::SeqCst) != 0;
        self.waiting.iter().any(waits)
    }

    /// The workers to be woken, since there is room again.
    pub(in crate::server) fn take_waiting(&self) -> impl Iterator<Item = usize> {
        let take = |it: &AtomicU64| match it.load(Ordering::SeqCst) {
            0 => 0,
            _ => it.swap(0, Ordering::SeqCst),
        };
        let bits = match self.has_room() {
            true => [take(&self.waiting[0]), take(&self.waiting[1])],
            false => [0; 2],
        };
        (0..128).filter(move |it| bits[it / 64] >> (it % 64) & 1 == 1)
    }

    /// Takes no more commands; what is left and what was `taken` is dropped.
    pub(in crate::server) fn stop(&self, taken: &mut VecDeque<Command>) {
        let mut queue = self.lock();
        self.stopped.store(true, Ordering::SeqCst);
        taken.append(&mut queue.commands);
        drop(queue);
        for command in taken.drain(..) {
            self.release(command.bytes());
        }
    }

    pub(in crate::server) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}
