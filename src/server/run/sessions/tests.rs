//! A whole worker in simulation: many sessions on faulty transports, a virtual clock, and clients
//! that do anything at any time, all of it from one seed. docs/cases.md E1, E2, E3, E7, D13.
//!
//! [`World::check`] and, for each message, [`Client::hear`] assert what must hold.
//! `SOCKEYE_SEEDS=50000` runs that many seeds, `SOCKEYE_SEED=7` only that one.

use std::boxed::Box;
use std::collections::{BTreeMap, HashMap};
use std::panic::resume_unwind;
use std::string::{String, ToString as _};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::{env, format, mem};

use super::super::inbox::{Command, Inbox};
use super::*;
use crate::proto::{ClientRequest, CloseCode, Config, Connection, Event, Message, Url};
use crate::server::Server;
use crate::server::end::End;
use crate::server::handler::Handler;
use crate::server::observe::{ConnectionStats, Observer};
use crate::server::run::server::Parts;
use crate::server::socket::Socket;
use crate::server::testing::peer::Peer;
use crate::server::testing::wire::{Random, Sim, Wire};
use crate::server::topics::SubscribeError;
use crate::server::topics::TopicOptions;
use crate::server::websocket::{Overflow, Published};

mod burst;
mod client;
mod crowd;
mod drain;
mod joint;
mod large;
mod order;
mod room;
mod several;
mod single;
mod stop;
#[cfg(all(feature = "tls", feature = "client"))]
mod tls;
mod world;

use client::Client;
use crowd::Crowd;
use world::World;

/// Enough for each operation to follow each other one, few enough for every run of the tests.
const SEEDS: u64 = 2_000;

// ---- the application ------------------------------------------------------------------------

/// How a connection ended.
#[derive(Clone, Default)]
struct Life {
    opened: usize,
    closed: usize,
    /// The outcome of the last message that it published.
    published: Published,
    /// What the observer was given.
    end: Option<(ConnectionStats, CloseCode, bool)>,
}

#[derive(Clone, Default)]
struct App(Arc<Mutex<BTreeMap<ConnectionId, Life>>>);

impl App {
    fn life(&self, id: ConnectionId, change: impl FnOnce(&mut Life)) {
        change(self.0.lock().unwrap().entry(id).or_default());
    }
}

/// A message is its own command: what to do, a topic, its sender, its number, filling.
impl Handler for App {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        self.life(socket.id(), |it| it.opened += 1);
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap();
        let mut words = text.split(' ');
        let (what, topic) = (words.next().unwrap(), words.next().unwrap());
        match what {
            "echo" => {
                let _ = socket.send(message);
            }
            "publish" => {
                let published = socket.publish(topic, text);
                self.life(socket.id(), |it| it.published = published);
            }
            // As another thread would.
            "tell" => socket.handle().send(socket.id(), text).unwrap(),
            "both" => {
                let published = socket.publish_to(&["t0", "t1", "t0"], text);
                self.life(socket.id(), |it| it.published = published);
            }
            "all" => {
                socket.publish_to_all(topic, text);
            }
            "subscribe" => {
                let _ = socket.subscribe(topic);
            }
            "unsubscribe" => {
                socket.unsubscribe(topic);
            }
            "begin" => {
                let _ = socket.send_fragment(text);
            }
            "finish" => {
                let _ = socket.send_last_fragment("");
            }
            "close" => {
                let _ = socket.close(CloseCode(4000), "asked to");
            }
            "terminate" => socket.terminate(),
            // Until it is subscribed to a topic.
            "pause" => socket.pause(),
            "panic" => resume_unwind(Box::new("on purpose")),
            other => panic!("{other}"),
        }
    }

    fn on_subscribe(&self, socket: &mut Socket<'_, ()>, _: &str, _: Result<usize, SubscribeError>) {
        socket.resume();
    }

    fn on_close(&self, socket: &mut Socket<'_, ()>, _: &End) {
        let id = socket.id();
        self.life(id, |it| it.closed += 1);
        socket.publish("t0", &*format!("gone t0 end{id} 0 "));
    }
}

impl Observer for App {
    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        let end = (connection.clone(), end.code(), end.is_clean());
        self.life(connection.id, |it| {
            assert!(it.end.replace(end).is_none(), "told twice");
        });
    }
}

impl<T: Transport> Sessions<T> {
    /// Gives the worker a command, and the time of a turn's share.
    fn tell(&mut self, command: Command) {
        self.worker.inbox.push(command);
        self.work_now();
        while !self.stopping.is_empty() {
            self.work();
        }
    }

    /// Carries out the commands that have arrived.
    fn work_now(&mut self) {
        self.exchange.pending.take(&self.worker.inbox);
        self.work();
    }

    /// Does what is due without an event, on the worker's thread.
    fn settle(&mut self) {
        let _thread = self.on_its_thread();
        let mut turns = 0;
        while self.patience() == Some(Duration::ZERO) {
            turns += 1;
            assert!(turns < 1_000_000, "it spins");
            let now = self.worker.now;
            self.at(now).end_turn();
        }
    }
}

// ---- the runs -------------------------------------------------------------------------------

/// Prints the seed of a run that panics.
struct Naming(u64);

impl Drop for Naming {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::eprintln!("the seed is {}: SOCKEYE_SEED={0} repeats it", self.0);
        }
    }
}

fn from_env<T: core::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_transports_and_clients_do_each_connection_ends_once_and_nothing_is_left() {
    let seeds = match from_env("SOCKEYE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("SOCKEYE_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = world::Seen::default();
    for seed in seeds.clone() {
        let _naming = Naming(seed);
        let mut world = World::new(seed);
        world.run();
        world.finish();
        world.check(&mut seen);
    }
    // The schedule reaches what it is meant to reach.
    if seeds.end - seeds.start >= SEEDS {
        std::println!("{seen:?}");
        assert!(seen.clean > SEEDS && seen.unclean > SEEDS && seen.complete > SEEDS);
        assert!(
            seen.dropped > 0 && seen.reused > 0 && seen.stale > 0,
            "{seen:?}"
        );
    }
}
