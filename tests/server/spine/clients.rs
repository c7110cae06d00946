//! Clients that know their connection and its worker, on a server whose handler does what its test
//! says.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use sockeye::proto::{Config, MessageRef};
use sockeye::server::{Builder, ConnectionId, Handle, HandleError, Server, Socket};

use harness::net::{Peer, Probe, Running, patient};

/// Only turns a wait for what never comes into a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// No deadline of a connection's ends it, however slow the machine.
pub(crate) fn calm() -> Config {
    let mut config = patient();
    config.ping_interval = None;
    config
}

pub(crate) fn builder(workers: usize) -> Builder {
    Server::builder()
        .workers(NonZeroUsize::new(workers).unwrap())
        .config(calm())
        .send_timeout(10 * DEADLINE)
}

/// A server on `/chat`. It does by itself what [`Client`] asks for; other texts are given to
/// `act`.
pub(crate) fn serve(
    builder: Builder,
    act: impl Fn(&mut Socket<'_, ()>, &str) + Send + Sync + 'static,
) -> Running {
    let (probe, _) = Probe::new(move |socket, message, _| {
        let text = message.as_text().expect("text");
        if text == "who" {
            let (id, thread) = (socket.id().to_u64(), thread::current());
            let answer = format!("{id} {}", thread.name().unwrap_or("first"));
            let _ = socket.send(&*answer);
        } else if let Some(topic) = text.strip_prefix("subscribe ") {
            socket.subscribe(topic).unwrap();
            let _ = socket.send("subscribed");
        } else {
            act(socket, text);
        }
    });
    Running::start(builder.route("/chat", probe))
}

/// An open connection of [`serve`].
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) id: ConnectionId,
    /// The name of its worker's thread.
    pub(crate) worker: String,
}

impl Client {
    pub(crate) fn open(server: &Running) -> Self {
        let mut peer = server.open();
        peer.stream().set_read_timeout(Some(DEADLINE)).unwrap();
        peer.stream().set_write_timeout(Some(DEADLINE)).unwrap();
        let answer = peer.ask("who");
        let (id, worker) = answer.split_once(' ').unwrap();
        Self {
            peer,
            id: ConnectionId::from_u64(id.parse().unwrap()),
            worker: worker.into(),
        }
    }

    #[track_caller]
    pub(crate) fn subscribe(&mut self, topic: &str) {
        assert_eq!(self.peer.ask(&format!("subscribe {topic}")), "subscribed");
    }

    /// The texts before `end`.
    #[track_caller]
    pub(crate) fn hear_until(&mut self, end: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            match self.peer.hear() {
                text if text == end => return heard,
                text => heard.push(text),
            }
        }
    }

    #[track_caller]
    pub(crate) fn hear(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.peer.hear()).collect()
    }
}

/// Clients that are on `workers` in turn. Which worker accepts one is not theirs to say: as many are
/// opened as it takes, and those that are too many go again.
pub(crate) fn open_in_turn(server: &Running, workers: usize, count: usize) -> Vec<Client> {
    let mut by_worker: BTreeMap<String, VecDeque<Client>> = BTreeMap::new();
    let enough = count.div_ceil(workers);
    let used = workers.min(count);
    while by_worker.values().filter(|it| it.len() >= enough).count() < used {
        let client = Client::open(server);
        let worker = client.worker.clone();
        by_worker.entry(worker).or_default().push_back(client);
    }
    let mut clients = Vec::new();
    'all: loop {
        for of_one in by_worker.values_mut() {
            if clients.len() == count {
                break 'all;
            }
            clients.extend(of_one.pop_front());
        }
    }
    clients
}

/// Publishes, and again as long as that is refused.
pub(crate) fn publish<'m>(handle: &Handle, topic: &str, message: impl Into<MessageRef<'m>>) {
    let message = handle.prepare(message);
    loop {
        match handle.topics("/chat").publish(topic, &message) {
            Ok(_) => return,
            Err(HandleError::Stopped) => panic!("the server has stopped"),
            Err(_) => thread::yield_now(),
        }
    }
}

/// A handler that waits in it keeps its worker until the test opens it.
pub(crate) struct Gate {
    entered: Sender<()>,
    opened: Mutex<Receiver<()>>,
}

/// The test's side of a [`Gate`]. Dropped, it is open.
pub(crate) struct Keeper {
    pub(crate) entered: Receiver<()>,
    pub(crate) open: Sender<()>,
}

pub(crate) fn gate() -> (Gate, Keeper) {
    let ((tell, entered), (open, opened)) = (channel(), channel());
    let opened = Mutex::new(opened);
    let gate = Gate {
        entered: tell,
        opened,
    };
    (gate, Keeper { entered, open })
}

impl Gate {
    pub(crate) fn wait(&self) {
        let _ = self.entered.send(());
        let _ = self.opened.lock().unwrap().recv();
    }
}

impl Keeper {
    /// Waits until a handler is in the gate.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let entered = self.entered.recv_timeout(DEADLINE);
        entered.expect("the handler comes to the gate");
    }
}
