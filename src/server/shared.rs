//! What the workers of a server share, and handles and sockets reach. A message's path touches none
//! of it except counters, of which each worker has its own.
//!
//! What only the opening of a connection needs is in [`Endpoints`](super::route::Endpoints).

use std::boxed::Box;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::vec::Vec;

use super::end::{End, ErrorCause, HandshakeFailure};
use super::id::{ConnectionId, Standing, Standings};
use super::limits::{ConnectionCounts, Keyed, Permit};
use super::observe::{
    CloseCounters, ConnectionStats, FailedHandshake, Metrics, Observer, PublishedCounters,
    RequestLog, Stats, TopicChange, TopicEvent,
};
use super::run::balance::Load;
use super::run::inbox::Inbox;
use super::shards::Shards;
use super::sync::MutexGuard;
use super::topics::{
    Directory, Position, Presence, PresenceChange, PresenceError, SubscribeError, Subscribed,
    Subscribing, TopicName,
};
use super::users::Users;
use crate::net::Clock;
use crate::proto::Config;

pub(super) struct Shared {
    /// The settings of routes that set none themselves.
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    /// The live connections of each worker.
    pub(super) standings: Vec<Standings>,
    pub(super) directory: Directory,
    pub(super) observers: Vec<Box<dyn Observer>>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) users: Users,
    /// Locked by topic while a change is decided and announced, so that it is announced before the
    /// next one is decided.
    pub(super) presence_order: Shards<()>,
    /// Locked by topic while a subscription begins or ends and observers are told of it, so that
    /// they are told before the next one does. Not locked without observers, and never before
    /// `presence_order`.
    pub(super) topic_order: Shards<()>,
    /// What handles published, on any thread.
    pub(super) published: PublishedCounters,
    /// Whether the server runs, between the first and the last turn of its workers.
    pub(super) running: AtomicBool,
    /// Whether it accepts connections, as it was last asked to.
    pub(super) accepting: AtomicBool,
    /// The load of each worker, by which the others decide who accepts.
    pub(super) loads: Vec<Load>,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) by_address: Option<Keyed<IpAddr>>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<super::listen::Tls>>,
    /// The files that its configuration was read from.
    #[cfg(feature = "tls")]
    pub(super) tls_files: Option<super::listen::TlsFiles>,
    /// The counters of each worker, apart from each other: no two write to one cache line.
    pub(super) metrics: Vec<Arc<Metrics>>,
    pub(super) closes: CloseCounters,
}

impl Shared {
    /// Notes that this worker has accepted a connection.
    pub(super) fn take_in(&self, worker: usize) {
        self.loads[worker]
            .connections
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a connection of this worker has ended.
    pub(super) fn left(&self, worker: usize) {
        self.loads[worker]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether the server has no connection, open or not.
    pub(super) fn is_empty(&self) -> bool {
        let mut loads = self.loads.iter();
        loads.all(|it| it.connections.load(Ordering::Relaxed) == 0)
    }

    /// Returns the counters of a connection's worker.
    #[inline]
    pub(super) fn metrics(&self, id: ConnectionId) -> &Metrics {
        &self.metrics[id.worker()]
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::sum(self.metrics.iter().map(|it| &**it), self.clock.now());
        let (topics, subscriptions) = self.directory.totals();
        stats.topics = topics as u64;
        stats.messages_published += self.published.messages.value();
        stats.bytes_published += self.published.bytes.value();
        stats.subscriptions = subscriptions as u64;
        let waiting = self.inboxes.iter().map(|it| it.bytes() as u64);
        stats.inbox_bytes = waiting.sum();
        stats.closes = self.closes.counts();
        stats
    }

    pub(super) fn opened(&self, connection: &ConnectionStats) {
        let metrics = self.metrics(connection.id);
        metrics.connections.add(1);
        metrics.connections_opened.add(1);
        self.set_standing(connection.id, Standing::Open);
        self.notify(|it| it.connected(connection));
    }

    pub(super) fn set_standing(&self, id: ConnectionId, standing: Standing) {
        self.standings[id.worker()].set(id.token(), standing);
    }

    /// Returns the state of a connection, as any thread sees it.
    pub(super) fn standing(&self, id: ConnectionId) -> Standing {
        let standings = self.standings.get(id.worker());
        standings.map_or(Standing::Gone, |it| it.of(id.token()))
    }

    /// Notes that an open connection has ended.
    pub(super) fn closed(&self, connection: &ConnectionStats, end: &End) {
        let metrics = self.metrics(connection.id);
        self.set_standing(connection.id, Standing::Gone);
        metrics.connections.set(metrics.connections.value() - 1);
        let sent = end.sent().is_some_and(|(code, _)| code == end.code());
        self.closes.add(end.code(), sent);
        if let Some(cause) = end.error() {
            metrics.errors.add(cause, 1);
            self.notify(|it| it.failed(connection, cause, end));
        }
        self.notify(|it| it.disconnected(connection, end));
    }

    /// Admits a connection that this worker has accepted; None if the server has too many.
    pub(super) fn admit(&self, worker: usize, peer: SocketAddr) -> Option<Permit> {
        let permit = self.connections.admit().ok();
        if permit.is_none() {
            let cause = HandshakeFailure::TooManyConnections;
            self.handshake_failed(worker, peer, cause, "max_connections is reached");
        }
        permit
    }

    /// Counts a connection that was accepted and then refused before a byte of it was read.
    pub(super) fn handshake_failed(
        &self,
        worker: usize,
        peer: SocketAddr,
        cause: HandshakeFailure,
        reason: &str,
    ) {
        self.count_failed(worker, cause, || FailedHandshake {
            peer_addr: peer,
            client_ip: peer.ip().to_canonical(),
            path: None,
            origin: None,
            cause,
            reason: &reason,
        });
    }

    /// Counts a connection that failed to open; `failure` is called only if there are observers.
    pub(super) fn count_failed<'a>(
        &self,
        worker: usize,
        cause: HandshakeFailure,
        failure: impl FnOnce() -> FailedHandshake<'a>,
    ) {
        self.metrics[worker].handshake_failures.add(cause, 1);
        if !self.observers.is_empty() {
            let failure = failure();
            self.notify(|it| it.handshake_failed(&failure));
        }
    }

    /// Reports that a worker can't accept connections for now.
    pub(super) fn accept_failed(&self, worker: usize, error: &io::Error) {
        self.metrics[worker].errors.add(ErrorCause::Accept, 1);
        self.notify(|it| it.accept_failed(error));
    }

    /// Reports a request that was answered.
    pub(super) fn requested(&self, request: &RequestLog<'_>) {
        self.notify(|it| it.on_request(request));
    }

    /// Reports that the TLS configuration was read again, or that it couldn't be.
    #[cfg(feature = "tls")]
    pub(super) fn tls_reloaded(&self, result: Result<(), &super::build_error::BuildError>) {
        self.notify(|it| it.tls_reloaded(result));
    }

    /// A panic of one observer neither ends the worker nor keeps the others from being called.
    fn notify(&self, notify: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            let _ = catch_unwind(AssertUnwindSafe(|| notify(&**observer)));
        }
    }

    // ---- subscriptions ------------------------------------------------------------------------

    /// Adds a subscriber, as [`Directory::subscribe`] does.
    pub(super) fn subscribe(
        &self,
        topic: &str,
        id: ConnectionId,
        since: Option<Position>,
        now: Duration,
    ) -> Result<(Subscribed, Subscribing), SubscribeError> {
        let _order = self.order(topic);
        let (subscribed, subscribing) = self.directory.subscribe(topic, id, since, now)?;
        self.came(topic, subscribed.count);
        Ok((subscribed, subscribing))
    }

    /// Adds a subscriber, as [`Directory::subscribe_at`] does.
    pub(super) fn subscribe_at(
        &self,
        subscribing: &Subscribing,
        id: ConnectionId,
    ) -> Result<Subscribed, SubscribeError> {
        let topic = &subscribing.topic.name;
        let _order = self.order(topic);
        let subscribed = self.directory.subscribe_at(subscribing, id)?;
        self.came(topic, subscribed.count);
        Ok(subscribed)
    }

    /// Removes a subscriber; returns how many are left.
    pub(super) fn unsubscribe(&self, topic: &str, id: ConnectionId) -> usize {
        let _order = self.order(topic);
        let left = self.directory.unsubscribe(topic, id);
        if left == 0 {
            self.topic_changed(topic, TopicChange::Emptied);
        }
        left
    }

    fn order(&self, topic: &str) -> Option<MutexGuard<'_, ()>> {
        let observed = !self.observers.is_empty();
        observed.then(|| self.topic_order.of(topic))
    }

    /// Notes that a new subscriber is one of `count`.
    fn came(&self, topic: &str, count: usize) {
        if count == 1 {
            self.topic_changed(topic, TopicChange::Appeared);
        }
    }

    fn topic_changed(&self, topic: &str, change: TopicChange) {
        let TopicName { namespace, name } = TopicName::split(topic);
        let event = TopicEvent {
            namespace,
            name,
            change,
        };
        self.notify(|it| it.on_topic(&event));
    }

    // ---- presence -----------------------------------------------------------------------------

    /// Adds a connection to the presence of a topic; `announce` gets what that changed.
    pub(super) fn join(
        &self,
        topic: &str,
        id: ConnectionId,
        user: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange),
    ) -> Result<PresenceChange, PresenceError> {
        let _order = self.presence_order.of(topic);
        let change = self.presence.join(topic, id.to_u64(), user, data)?;
        announce_change(&change, announce);
        Ok(change)
    }

    /// Changes the data of the user as whom a connection is in a topic.
    pub(super) fn update(
        &self,
        topic: &str,
        id: ConnectionId,
        data: &str,
        announce: impl FnOnce(&PresenceChange),
    ) -> PresenceChange {
        let _order = self.presence_order.of(topic);
        let change = self.presence.update(topic, id.to_u64(), data);
        announce_change(&change, announce);
        change
    }

    /// Removes a connection from the presence of a topic.
    pub(super) fn leave(
        &self,
        topic: &str,
        id: ConnectionId,
        announce: impl FnOnce(&PresenceChange),
    ) -> PresenceChange {
        let _order = self.presence_order.of(topic);
        let change = self.presence.leave(topic, id.to_u64());
        announce_change(&change, announce);
        change
    }
}

fn announce_change(change: &PresenceChange, announce: impl FnOnce(&PresenceChange)) {
    if *change != PresenceChange::None {
        announce(change);
    }
}
