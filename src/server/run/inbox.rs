//! Commands on their way to a worker: from other threads, from other workers, and from its own
//! handlers where a command has to keep its place behind these.
//!
//! Owns the order, in which commands were added, and the bound, in bytes. The worker carries the
//! commands out; they name no type of an application.

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
use crate::server::call::Parcel;
use crate::server::observe::ConnectionStats;
use crate::server::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::server::sync::{Mutex, MutexGuard, Waker, lock, thread_local};
use crate::server::topics::{JointMessage, SubscribeError, Subscribing, Topic};

/// Bytes of commands that may wait for one worker by default: what a busy network card receives in
/// a second. Publishers are slowed from half of it on.
pub(in crate::server) const DEFAULT_CAPACITY: usize = 64 * 1024 * 1024;

/// A bit that is set in the numbers of direct messages, which are counted apart: such a message
/// comes before everything in the inbox.
pub(in crate::server) const DIRECT: u64 = 1 << 63;

/// Why a command was not taken; it has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The commands that wait for a worker have reached
    /// [`max_inbox`](crate::server::Builder::max_inbox) bytes: the caller has to slow down. The
    /// call had no effect and can be repeated.
    Busy,
    /// The message is longer than its topic's
    /// [`max_message`](crate::server::topics::TopicOptions::max_message).
    TooLong,
    /// The connection is over, or never existed.
    Gone,
    /// The server has stopped.
    Stopped,
    /// The call waits for the workers, and was made on the thread of one.
    OnWorker,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too many bytes wait for a worker (max_inbox): slow down and try again",
            Self::TooLong => "the message is longer than its topic's max_message",
            Self::Gone => "the connection is over",
            Self::Stopped => "the server has stopped",
            Self::OnWorker => "a worker, which has to answer, can't wait for it",
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
    Publish(TopicMessage),
    /// A message of several topics, and the connection that doesn't get it.
    PublishJoint(Arc<JointMessage>, Option<Token>),
    Subscribe(Token, Box<Subscribing>),
    Unsubscribe(Token, Arc<str>),
    /// A subscription that is impossible, reported to the connection's handler.
    Refuse(Token, Arc<str>, SubscribeError),
    /// A call of the connection's application.
    Call(Token, Parcel),
    /// Pauses or resumes reading.
    Pause(Token, bool),
    /// Some of the work is done that the connection has deferred.
    Worked(Token),
    /// The application has decided what the session waits for.
    Decided(Token),
    Inspect(Arc<Inspect>),
    StopAccepting,
    Drain(Arc<Drain>),
    /// When a server that stops drops the sessions that are left, by the server's clock.
    ShutDown(Duration),
}

/// How a server drains: its connections begin to close one after the other.
pub(in crate::server) struct Drain {
    /// When it began, by the server's clock.
    pub(in crate::server) began: Duration,
    /// The time over which the connections are spread.
    pub(in crate::server) over: Duration,
    /// When the sessions that are left are dropped.
    pub(in crate::server) drop_at: Duration,
    pub(in crate::server) code: CloseCode,
    pub(in crate::server) reason: Box<str>,
}

/// A message on its way to the subscribers of one worker.
#[derive(Clone)]
pub(in crate::server) struct TopicMessage {
    pub(in crate::server) topic: Arc<Topic>,
    pub(in crate::server) message: PreparedMessage,
    /// Its offset in the topic.
    pub(in crate::server) offset: u64,
    pub(in crate::server) except: Option<Token>,
}

impl Command {
    /// Returns the bytes that count against the bound: as a rule, those that only this command
    /// holds.
    pub(in crate::server) fn bytes(&self) -> usize {
        let held = match self {
            Self::Send(_, message) => message.payload().len(),
            Self::Publish(publication) => publication.message.payload().len(),
            Self::PublishJoint(joint, _) => joint.bytes(),
            Self::Close(_, _, reason) => reason.len(),
            Self::Subscribe(_, subscribing) => subscribing.bytes(),
            Self::Unsubscribe(_, topic) | Self::Refuse(_, topic, _) => topic.len(),
            Self::Call(_, parcel) => parcel.bytes(),
            Self::Terminate(_)
            | Self::Pause(..)
            | Self::Worked(_)
            | Self::Decided(_)
            | Self::Inspect(_)
            | Self::StopAccepting
            | Self::Drain(_)
            | Self::ShutDown(_) => 0,
        };
        size_of::<Self>() + held
    }

    /// Returns the connection that it is for, if it is for one.
    pub(in crate::server) fn token(&self) -> Option<Token> {
        match self {
            Self::Send(token, _)
            | Self::Close(token, ..)
            | Self::Terminate(token)
            | Self::Subscribe(token, _)
            | Self::Unsubscribe(token, _)
            | Self::Refuse(token, ..)
            | Self::Call(token, _)
            | Self::Pause(token, _)
            | Self::Worked(token)
            | Self::Decided(token) => Some(*token),
            Self::Publish(_)
            | Self::PublishJoint(..)
            | Self::Inspect(_)
            | Self::StopAccepting
            | Self::Drain(_)
            | Self::ShutDown(_) => None,
        }
    }
}

/// Commands on their way to a worker.
///
/// Each command has a number, which tells the worker and its sessions what is carried out: twice
/// its place in the order, counted from 1. An odd number is behind one command and before the next.
pub(in crate::server) struct Inbox {
    queue: Mutex<Queue>,
    /// Bytes of all commands that are not yet carried out, and of those for which room is reserved.
    bytes: AtomicUsize,
    capacity: usize,
    stopped: AtomicBool,
    /// The number of the last command that the worker's own thread has added; 0 once it is carried
    /// out.
    own: AtomicU64,
    /// The workers that wait for room, one bit each.
    waiting: [AtomicU64; 2],
    /// None if there is no poll, as in simulation.
    waker: Option<Waker>,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// How many commands were ever added.
    added: u64,
}

thread_local! {
    /// The inbox of the worker that runs on this thread, by its address.
    static OWN: Cell<usize> = const { Cell::new(0) };
    /// Whether some of its own commands wait, like [`Inbox::own`], but cheaper to check.
    static OWN_WAITS: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether commands wait that a handler of this thread's worker has added.
#[inline]
pub(in crate::server) fn own_waits() -> bool {
    OWN_WAITS.with(Cell::get)
}

/// Room in an inbox for a command that will be added; given back if it isn't.
#[must_use]
pub(in crate::server) struct Reserved<'i> {
    inbox: &'i Inbox,
    bytes: usize,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.inbox.release(self.bytes);
        // The worker has no command to carry out, and has to wake the workers that wait for room.
        if self.inbox.is_waited_for() {
            self.inbox.wake();
        }
    }
}

impl Reserved<'_> {
    /// Adds the command for which the room was reserved.
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

    // ---- adding commands -----------------------------------------------------------------------

    /// Reserves room for a command of this many bytes.
    ///
    /// # Errors
    /// When there is no room, or the worker has stopped.
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

    /// Reserves room in any case: for a command that ends something, or announces what has
    /// happened.
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

    /// Adds a command whose bytes are already counted.
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

    /// Returns whether its worker polls for itself, as in all but a simulation.
    pub(in crate::server) fn is_polled(&self) -> bool {
        self.waker.is_some()
    }

    /// Wakes the worker.
    pub(in crate::server) fn wake(&self) {
        if let Some(waker) = &self.waker {
            // Fails only when the worker's poll, and with it the worker, is gone.
            let _ = waker.wake();
        }
    }

    /// Returns whether there are commands to take; a command that is added later wakes the worker.
    pub(in crate::server) fn has_commands(&self) -> bool {
        !self.lock().commands.is_empty()
    }

    /// Returns whether a message may go past the inbox, since nothing waits in it. Only its worker
    /// asks.
    #[inline]
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Returns the bytes that wait.
    pub(in crate::server) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns whether publishers have to wait: more than half of the inbox is full.
    pub(in crate::server) fn is_filling(&self) -> bool {
        self.bytes() > self.capacity / 2
    }

    /// Returns whether publishers that wait may continue: there is room, or the worker has stopped.
    ///
    /// A waiter registers before it checks, and room is made before the waiters are read. All of
    /// these are `SeqCst`, so that at least one side sees the other.
    pub(in crate::server) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) <= self.capacity / 4
            || self.stopped.load(Ordering::SeqCst)
    }

    /// Registers a worker to be woken once there is room. The caller checks again afterwards, since
    /// there may already be room.
    pub(in crate::server) fn wait(&self, worker: usize) {
        self.waiting[worker / 64].fetch_or(1 << (worker % 64), Ordering::SeqCst);
    }

    /// Returns whether publishers may continue by all of `inboxes`; if not, `worker` is woken to
    /// check again.
    pub(in crate::server) fn have_room_for(worker: usize, inboxes: &[Arc<Self>]) -> bool {
        let have_room = || inboxes.iter().all(|it| it.has_room());
        if have_room() {
            return true;
        }
        for inbox in inboxes {
            inbox.wait(worker);
        }
        // An inbox that has drained since would wake nobody.
        have_room()
    }

    // ---- the worker ----------------------------------------------------------------------------

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

    /// Returns whether a worker runs on this thread.
    pub(in crate::server) fn is_on_worker() -> bool {
        OWN.with(Cell::get) != 0
    }

    fn is_own(&self) -> bool {
        OWN.with(Cell::get) == self.address()
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Returns the number of the last command that a handler of the worker has added and that isn't
    /// carried out; 0 if there is none.
    #[inline]
    pub(in crate::server) fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// Notes that a handler's direct message, behind the commands below this number, has yet to
    /// reach some of its subscribers.
    pub(in crate::server) fn own_begun(&self, number: u64) {
        self.own.store(number, Ordering::Relaxed);
        OWN_WAITS.with(|it| it.set(true));
    }

    /// Notes that the handlers' commands up to this number are carried out.
    pub(in crate::server) fn own_done(&self, number: u64) {
        if self.own() <= number {
            self.own.store(0, Ordering::Relaxed);
            OWN_WAITS.with(|it| it.set(false));
        }
    }

    /// Moves the commands that have arrived behind `taken`.
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

    /// Gives back the bytes of a command that is carried out, or won't be. `wake` then wakes the
    /// workers that wait for room.
    pub(in crate::server) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Returns whether workers wait for room.
    #[inline]
    pub(in crate::server) fn is_waited_for(&self) -> bool {
        let waits = |it: &AtomicU64| it.load(Ordering::SeqCst) != 0;
        self.waiting.iter().any(waits)
    }

    /// Takes the workers to be woken, since there is room again.
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

    /// Stops taking commands; drops the ones that are left and those that were `taken`.
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
