//! Models of what threads share: the records of topics, the inboxes and the slots, each run under
//! thousands of interleavings that shuttle schedules.
//!
//! They run the server's own code except for the worker, which is [`Worker`] here: it takes
//! commands, carries them out for subscribers that only listen, and gives their bytes back. They
//! explore interleavings, but only sequentially consistent memory.
//!
//! `RUSTFLAGS='--cfg shuttle' cargo test --lib models` runs them; `SHUTTLE_RANDOM_SEED` is
//! shuttle's, to repeat a run. `SOCKEYE_SCHEDULES=100000` runs this many of each.

mod bounds;
mod order;
mod records;
mod stops;
mod wakes;

use std::collections::{BTreeMap, VecDeque};
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;
use std::{env, io};

use mio::Token;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::Condvar;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};

use crate::net::Clock;
use crate::proto::{self, PreparedMessage};
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, Inbox};
use crate::server::sync::{Mutex, lock};
use crate::server::topics::TopicOptions;
use crate::server::topics::TopicPattern;
use crate::server::topics::{
    Directory, Local, Namespaces, Publisher, Subscribing, TopicLimits, TopicName,
};

/// The topic of most models, by its full name.
const TOPIC: &str = "/ t";

const NOW: Duration = Duration::ZERO;

/// A capacity in bytes that no model fills.
const ROOM: usize = 1 << 20;

/// A connection that has ended when its commands arrive.
const GONE: Token = Token(9);

/// Schedules of each kind that a model runs under.
const SCHEDULES: usize = 2_000;

/// The depth of preemptions that shuttle's priority scheduler explores.
const DEPTH: usize = 3;

/// Runs a model under random schedules, then under those of random priorities.
fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let schedules = env::var("SOCKEYE_SCHEDULES").map_or(SCHEDULES, |it| it.parse().unwrap());
    run(RandomScheduler::new(schedules), model.clone());
    run(PctScheduler::new(DEPTH, schedules), model);
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::Print;
    // Only a model that spins comes near that.
    config.max_steps = MaxSteps::FailAfter(100_000);
    Runner::new(scheduler, config).run(model);
}

// ---- the worker -----------------------------------------------------------------------------

/// Where a worker sleeps.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.rung) = true;
        self.rings.notify_one();
    }

    /// Waits until it is woken, or returns at once if it has been since the last time.
    fn sleep(&self) {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = self.rings.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Replaces mio's.
pub(in crate::server) struct Waker(Arc<Bell>);

impl Waker {
    pub(in crate::server) fn new(_: &mio::Registry, _: Token) -> io::Result<Self> {
        Ok(Self(Arc::default()))
    }

    pub(in crate::server) fn wake(&self) -> io::Result<()> {
        self.0.ring();
        Ok(())
    }
}

/// What a subscriber has heard: places in the topic, and texts.
type Heard = BTreeMap<Token, Vec<(u64, String)>>;

/// A server reduced to what threads share.
struct Server {
    directory: Directory,
    inboxes: Vec<Arc<Inbox>>,
    bells: Vec<Arc<Bell>>,
}

impl Server {
    /// Creates one worker for each capacity.
    fn new(capacities: &[usize], options: TopicOptions) -> Arc<Self> {
        let bells: Vec<Arc<Bell>> = capacities.iter().map(|_| Arc::default()).collect();
        let inbox = |(capacity, bell): (&usize, &Arc<Bell>)| {
            let waker = Waker(Arc::clone(bell));
            Arc::new(Inbox::new(Some(waker), *capacity))
        };
        let pattern = TopicPattern::new("*").unwrap();
        Arc::new(Self {
            directory: Directory::new(
                TopicLimits::default(),
                Namespaces::new(),
                Vec::from([(pattern, Arc::new(options))]),
                Clock::start(),
                capacities.len(),
            ),
            inboxes: capacities.iter().zip(&bells).map(inbox).collect(),
            bells,
        })
    }

    fn worker(self: &Arc<Self>, index: usize) -> Worker {
        Worker {
            server: Arc::clone(self),
            index,
            taken: VecDeque::new(),
            local: Local::default(),
            heard: Heard::new(),
            ends: false,
        }
    }

    /// Publishes like another thread; returns the message's place.
    fn publish(&self, text: &str) -> Result<u64, crate::server::HandleError> {
        let message = prepared(text);
        let publish = self.directory.publish(
            &self.inboxes,
            TopicName::split(TOPIC),
            None,
            Publisher::default(),
            NOW,
            |_| &message,
        );
        publish.map(|(outcome, _)| outcome.position.offset)
    }

    /// Ends the workers once they have carried out what is before that.
    fn end(&self) {
        for inbox in &self.inboxes {
            inbox.push(Command::ShutDown(NOW));
        }
    }

    /// Checks that nothing is left of what was done.
    fn assert_at_rest(&self) {
        for inbox in &self.inboxes {
            assert_eq!(inbox.bytes(), 0, "bytes that nobody gives back");
        }
    }
}

struct Worker {
    server: Arc<Server>,
    index: usize,
    taken: VecDeque<Command>,
    local: Local,
    heard: Heard,
    ends: bool,
}

impl Worker {
    fn inbox(&self) -> &Arc<Inbox> {
        &self.server.inboxes[self.index]
    }

    fn id(&self, token: Token) -> ConnectionId {
        ConnectionId::new(self.index, token)
    }

    /// Works until it is told to end.
    fn run(mut self) -> Heard {
        self.inbox().own_thread();
        while !self.ends {
            self.turn();
        }
        self.heard
    }

    /// Works until this many messages were heard.
    fn run_until(mut self, messages: usize) -> Heard {
        self.inbox().own_thread();
        while self.heard.values().map(Vec::len).sum::<usize>() < messages {
            self.turn();
        }
        self.heard
    }

    fn spawn(self) -> thread::JoinHandle<Heard> {
        thread::spawn(|| self.run())
    }

    /// Sleeps if there is nothing to do, then does what there is.
    fn turn(&mut self) {
        match self.inbox().is_idle() {
            true => self.server.bells[self.index].sleep(),
            // What is counted may not be there yet.
            false => thread::yield_now(),
        }
        self.work();
    }

    fn work(&mut self) {
        let inbox = Arc::clone(self.inbox());
        inbox.take(&mut self.taken);
        while let Some(command) = self.taken.pop_front() {
            let bytes = command.bytes();
            self.carry_out(command);
            inbox.release(bytes);
        }
        for worker in inbox.take_waiting() {
            self.server.inboxes[worker].wake();
        }
    }

    fn carry_out(&mut self, command: Command) {
        let directory = &self.server.directory;
        match command {
            Command::Publish(it) => {
                self.deliver(&it.topic.name, it.offset, it.except, &it.message);
            }
            Command::Subscribe(token, subscribing) => {
                if token != GONE {
                    let id = self.id(token);
                    directory.subscribe_at(&subscribing, id).unwrap();
                    self.insert(token, &subscribing);
                }
                let directory = &self.server.directory;
                directory.arrived(&subscribing.topic, self.index);
            }
            Command::Unsubscribe(token, topic) => {
                directory.unsubscribe(&topic, self.id(token));
                self.local.remove(&topic, token);
            }
            Command::Send(token, message) => self.hear(token, 0, &message),
            Command::ShutDown(_) => self.ends = true,
            _ => {}
        }
    }

    /// Subscribes a connection like its handler.
    fn subscribe(&mut self, topic: &str, token: Token) -> u64 {
        let subscribe = self
            .server
            .directory
            .subscribe(topic, self.id(token), None, NOW)
            .unwrap();
        self.insert(token, &subscribe.1);
        subscribe.0.position.offset
    }

    fn unsubscribe(&mut self, topic: &str, token: Token) {
        self.server.directory.unsubscribe(topic, self.id(token));
        self.local.remove(topic, token);
    }

    fn insert(&mut self, token: Token, subscribing: &Subscribing) {
        for entry in &subscribing.replay {
            let text = String::from_utf8(entry.payload.to_vec()).unwrap();
            self.heard
                .entry(token)
                .or_default()
                .push((entry.offset, text));
        }
        let position = subscribing.position;
        self.local
            .insert(&subscribing.topic, token, position.offset);
    }

    /// Publishes like a handler, which delivers at once if nothing is before it.
    fn publish(&mut self, text: &str) -> u64 {
        let message = prepared(text);
        let publisher = Publisher {
            delivers: Some(self.index),
            ..Publisher::default()
        };
        let known = self.local.of(TOPIC).map(|it| Arc::clone(&it.topic));
        let (outcome, _) = self
            .server
            .directory
            .publish(
                &self.server.inboxes,
                TopicName::split(TOPIC),
                known.as_ref(),
                publisher,
                NOW,
                |_| &message,
            )
            .unwrap();
        let offset = outcome.position.offset;
        if outcome.deliver {
            self.deliver(TOPIC, offset, None, &message);
        }
        offset
    }

    fn deliver(
        &mut self,
        topic: &str,
        offset: u64,
        except: Option<Token>,
        message: &PreparedMessage,
    ) {
        let Some(subscribers) = self.local.of(topic) else {
            return;
        };
        let takers: Vec<Token> = subscribers.takers(offset, None).collect();
        for token in takers {
            if Some(token) != except {
                self.hear(token, offset, message);
            }
        }
    }

    fn hear(&mut self, token: Token, offset: u64, message: &PreparedMessage) {
        let text = String::from_utf8(message.payload().to_vec()).unwrap();
        self.heard.entry(token).or_default().push((offset, text));
    }
}

// ---- what models say --------------------------------------------------------------------------

fn prepared(text: &str) -> PreparedMessage {
    PreparedMessage::new(text, &proto::Config::default())
}

fn sends(token: usize, text: &str) -> Command {
    Command::Send(Token(token), prepared(text))
}

/// The bytes of a waiting message of one byte.
fn one() -> usize {
    sends(0, "m").bytes()
}

fn spawn<R: Send + 'static>(
    server: &Arc<Server>,
    run: impl FnOnce(Arc<Server>) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let server = Arc::clone(server);
    thread::spawn(move || run(server))
}

/// The places of what one subscriber has heard.
fn offsets(heard: &Heard, token: usize) -> Vec<u64> {
    let heard = heard.get(&Token(token)).into_iter().flatten();
    heard.map(|(offset, _)| *offset).collect()
}
