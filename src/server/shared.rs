//! What the workers of a server share, none of it on the way of a message but counters that each
//! worker has for itself.

use std::boxed::Box;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::Vec;

use super::balance::Load;
use super::handle::{ConnectionId, Inbox};
use super::handler::End;
use super::history::HistoryEntry;
use super::limits::{ConnectionCounts, HandshakeRates, Keyed};
use super::metrics::{ErrorCause, HandshakeFailure, Metrics, Stats};
use super::observer::{ConnectionStats, Observer};
use super::pattern::TopicPattern;
use super::presence::Presence;
use super::proxy::TrustedProxies;
use super::route::{Guard, Options};
use super::router::Router;
use super::topic_options::TopicOptions;
use super::topics::{Directory, SubscribeError};
use crate::net::{Clock, Keep};
use crate::proto::{MessageKind, MessageRef, PreparedMessage, http::Headers};

/// What does not change while the server runs.
pub(super) struct Settings {
    /// Those of the routes where they have none of their own, and of connections before they are
    /// open.
    pub(super) options: Options,
    pub(super) guards: Vec<Box<dyn Guard>>,
    pub(super) router: Router,
    pub(super) max_body: usize,
    /// In the order they were added; the first that matches counts.
    pub(super) topics: Vec<(TopicPattern, TopicOptions)>,
    pub(super) observers: Vec<Box<dyn Observer>>,
    /// Whose `Forwarded` headers are believed.
    pub(super) trusted_proxies: TrustedProxies,
    /// Who begins its connections with a PROXY header.
    pub(super) proxy_protocol: TrustedProxies,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) directory: Directory,
    pub(super) presence: Arc<dyn Presence>,
    /// Of each worker, for the others to see who accepts.
    pub(super) loads: Vec<Load>,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) handshake_rates: HandshakeRates,
    pub(super) by_address: Option<Keyed<IpAddr>>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<super::tls::Tls>>,
    /// Those of each worker, apart from each other: no two write to one cache line.
    pub(super) metrics: Vec<Arc<Metrics>>,
}

impl Shared {
    /// This worker has accepted a connection.
    pub(super) fn take_in(&self, worker: usize) {
        self.loads[worker]
            .connections
            .fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of this worker is gone.
    pub(super) fn left(&self, worker: usize) {
        self.loads[worker]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// The counters of a connection's worker.
    #[inline]
    pub(super) fn metrics(&self, id: ConnectionId) -> &Metrics {
        &self.metrics[id.worker()]
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::sum(self.metrics.iter().map(|it| &**it), self.clock.now());
        let (topics, subscriptions) = self.directory.totals();
        stats.topics = topics as u64;
        stats.subscriptions = subscriptions as u64;
        stats
    }

    /// The client's address, as far as it is to be believed.
    pub(super) fn client_ip(&self, peer: SocketAddr, headers: Headers<'_>) -> IpAddr {
        self.settings.trusted_proxies.client_ip(peer.ip(), headers)
    }

    pub(super) fn opened(&self, connection: &ConnectionStats) {
        let metrics = self.metrics(connection.id);
        metrics.connections.add(1);
        metrics.connections_opened.add(1);
        self.tell(|it| it.connected(connection));
    }

    /// A connection that was open is over.
    pub(super) fn closed(&self, connection: &ConnectionStats, end: &End) {
        let metrics = self.metrics(connection.id);
        metrics.connections.set(metrics.connections.value() - 1);
        metrics.closes.add(end.code().into(), 1);
        if let Some(cause) = end.error() {
            metrics.errors.add(cause, 1);
            self.tell(|it| it.failed(connection, cause, end));
        }
        self.tell(|it| it.disconnected(connection, end));
    }

    pub(super) fn handshake_failed(
        &self,
        worker: usize,
        peer: SocketAddr,
        failure: HandshakeFailure,
    ) {
        self.metrics[worker].handshake_failures.add(failure, 1);
        self.tell(|it| it.handshake_failed(peer, failure));
    }

    /// A worker can't accept connections for now.
    pub(super) fn accept_failed(&self, worker: usize, error: &io::Error) {
        self.metrics[worker].errors.add(ErrorCause::Accept, 1);
        self.tell(|it| it.accept_failed(error));
    }

    /// An observer that panics ends nothing and hides nothing from the others.
    fn tell(&self, tell: impl Fn(&dyn Observer)) {
        for observer in &self.settings.observers {
            let _ = catch_unwind(AssertUnwindSafe(|| tell(&**observer)));
        }
    }

    fn topic(&self, topic: &str) -> Option<&TopicOptions> {
        let mut topics = self.settings.topics.iter();
        let (_, options) = topics.find(|(pattern, _)| pattern.matches(topic))?;
        Some(options)
    }

    pub(super) fn check_topic(&self, topic: &str, id: ConnectionId) -> Result<(), SubscribeError> {
        match self.topic(topic).and_then(|it| it.guard.as_ref()) {
            Some(guard) => guard(id, topic).map_err(SubscribeError::Refused),
            None => Ok(()),
        }
    }

    /// What may become of a message of this topic that waits.
    pub(super) fn keep(&self, topic: &str) -> Keep {
        match self.topic(topic) {
            Some(options) if options.conflate => Keep::UntilNext(topic.into()),
            _ => Keep::Always,
        }
    }

    /// Puts a message that is published into its topic's history.
    pub(super) fn remember(&self, topic: &str, message: &PreparedMessage) {
        if let Some((history, _)) = self.topic(topic).and_then(|it| it.history.as_ref()) {
            let payload = message.payload().into();
            history.push(topic, message.kind(), payload, self.clock.now());
        }
    }

    pub(super) fn history(&self, topic: &str, limit: usize) -> Vec<HistoryEntry> {
        match self.topic(topic).and_then(|it| it.history.as_ref()) {
            Some((history, _)) => history.recent(topic, limit, self.clock.now()),
            None => Vec::new(),
        }
    }

    /// What a new subscriber of the topic is sent.
    pub(super) fn recent(&self, topic: &str, options: &Options) -> Vec<PreparedMessage> {
        let Some((history, count)) = self.topic(topic).and_then(|it| it.history.as_ref()) else {
            return Vec::new();
        };
        let entries = history.recent(topic, *count, self.clock.now());
        let prepare = |message: MessageRef<'_>| PreparedMessage::new(message, &options.config);
        let message = |entry: &HistoryEntry| match entry.kind {
            MessageKind::Text => core::str::from_utf8(&entry.payload)
                .ok()
                .map(|text| prepare(text.into())),
            MessageKind::Binary => Some(prepare((&*entry.payload).into())),
        };
        entries.iter().filter_map(message).collect()
    }
}
