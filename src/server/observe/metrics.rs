//! Metrics: counted by each worker, summed and shown on request.
//!
//! Owns the counters, their names and the two formats. Counting, and the route that shows them, are
//! left to the workers.

mod closes;
mod format;
mod label;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

pub(in crate::server) use closes::CloseCounters;
pub use closes::CloseCounts;
pub(in crate::server) use label::{Label, labels};

use crate::server::end::{ErrorCause, HandshakeFailure};
use crate::server::topics::TopicStats;

/// A counter that one worker writes and any thread reads.
///
/// With one writer a load and a store suffice, which cost no more than a plain addition; a locked
/// one would be measurable on the message path.
#[derive(Debug, Default)]
pub(in crate::server) struct Counter(AtomicU64);

impl Counter {
    /// Only called by the owning worker.
    #[inline]
    pub(in crate::server) fn add(&self, count: u64) {
        self.set(self.value().wrapping_add(count));
    }

    /// Only called by the owning worker: for gauges.
    #[inline]
    pub(in crate::server) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(in crate::server) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter that any thread may add to: for what is rare, or counted outside the workers.
#[derive(Debug, Default)]
pub(in crate::server) struct SharedCounter(AtomicU64);

impl SharedCounter {
    pub(in crate::server) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(in crate::server) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One number for each label.
#[derive(Debug)]
pub(in crate::server) struct SharedCounters<L> {
    counters: Box<[SharedCounter]>,
    labels: PhantomData<L>,
}

impl<L: Label> SharedCounters<L> {
    pub(in crate::server) fn add(&self, value: L, count: u64) {
        self.counters[value.index()].add(count);
    }
}

impl<L: Label> Default for SharedCounters<L> {
    fn default() -> Self {
        Self {
            counters: L::NAMES.iter().map(|_| SharedCounter::default()).collect(),
            labels: PhantomData,
        }
    }
}

/// The counters of one worker. Each worker has its own, so that they share no cache line.
#[derive(Debug, Default)]
pub(in crate::server) struct Metrics {
    /// Gauge: connections now.
    pub(in crate::server) connections: Counter,
    pub(in crate::server) connections_opened: Counter,
    pub(in crate::server) messages_received: Counter,
    pub(in crate::server) messages_sent: Counter,
    pub(in crate::server) bytes_received: Counter,
    pub(in crate::server) bytes_sent: Counter,
    /// By connections, on this worker; others are in [`PublishedCounters`].
    pub(in crate::server) messages_published: Counter,
    pub(in crate::server) bytes_published: Counter,
    /// Gauge: topics with a subscriber now.
    pub(in crate::server) topics: Counter,
    /// Gauge: subscriptions now.
    pub(in crate::server) subscriptions: Counter,
    /// Gauge: bytes waiting to be written now.
    pub(in crate::server) queued_bytes: Counter,
    /// Gauge: bytes of published frames that are kept for slow subscribers.
    pub(in crate::server) published_bytes: Counter,
    pub(in crate::server) dropped: SharedCounter,
    pub(in crate::server) conflated: SharedCounter,
    pub(in crate::server) rate_limited: SharedCounter,
    pub(in crate::server) reconnections: SharedCounter,
    pub(in crate::server) unused: SharedCounter,
    pub(in crate::server) errors: SharedCounters<ErrorCause>,
    pub(in crate::server) handshake_failures: SharedCounters<HandshakeFailure>,
}

/// What handles published, from any thread.
#[derive(Debug, Default)]
pub(in crate::server) struct PublishedCounters {
    pub(in crate::server) messages: SharedCounter,
    pub(in crate::server) bytes: SharedCounter,
}

/// How often each label was counted.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts<L> {
    counts: Box<[u64]>,
    labels: PhantomData<L>,
}

#[allow(private_bounds)] // `Label` is implemented in `end` and nowhere else.
impl<L: Label> Counts<L> {
    /// The count of this and of all that share its label.
    #[must_use]
    pub fn count(&self, value: L) -> u64 {
        self.counts[value.index()]
    }

    /// The names of all labels, as in JSON and Prometheus, with their counts, those of 0 too.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::NAMES.iter().copied().zip(self.counts.iter().copied())
    }

    /// The sum over all labels.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, counters: &SharedCounters<L>) {
        for (count, counter) in self.counts.iter_mut().zip(&counters.counters) {
            *count += counter.value();
        }
    }
}

impl<L: Label> Default for Counts<L> {
    fn default() -> Self {
        Self {
            counts: L::NAMES.iter().map(|_| 0).collect(),
            labels: PhantomData,
        }
    }
}

/// Shows only counts above 0.
impl<L: Label> fmt::Debug for Counts<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.iter().filter(|&(_, count)| count > 0);
        f.debug_map().entries(counted).finish()
    }
}

/// The metrics of a server, summed over its workers.
///
/// Counters (`connections_opened` and what follows from the messages on) only grow while the server
/// runs; gauges (`connections`, `topics`, `subscriptions`, `queued_bytes`) are current values. They
/// are read one after the other while the workers go on, so they need not add up.
///
/// ```
/// use sockeye::server::observe::{ErrorCause, Stats};
///
/// # let stats = Stats::default();
/// println!("{} connections, {} with bad UTF-8", stats.connections, stats.errors.count(ErrorCause::Utf8));
/// assert!(stats.to_json().starts_with(r#"{"uptime_seconds":"#));
/// assert!(stats.to_prometheus().contains("\nsockeye_connections 0\n"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Time since the server began to run.
    pub uptime: Duration,
    /// Connections open now.
    pub connections: u64,
    /// Connections opened in total.
    pub connections_opened: u64,
    /// Connections that ended without having sent a byte, in total: those that browsers open in
    /// advance and don't need, health checks of the port. They are no failed handshakes.
    pub connections_unused: u64,
    /// Data messages received.
    pub messages_received: u64,
    /// Data messages sent.
    pub messages_sent: u64,
    /// Bytes read from transports: frames and handshakes, before decompression, after TLS.
    pub bytes_received: u64,
    /// Bytes written to transports, as for `bytes_received`.
    pub bytes_sent: u64,
    /// Messages published to topics, each once, however many subscribers the topic has; those that
    /// were refused don't count.
    pub messages_published: u64,
    /// Bytes of their payloads, before compression.
    pub bytes_published: u64,
    /// Topics that have a subscriber now.
    pub topics: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Bytes waiting to be written now, as each connection counts them: a message that waits for
    /// many connections is stored once and counts for each.
    pub queued_bytes: u64,
    /// Bytes of published messages that are kept for slow subscribers, each counted once.
    pub published_bytes: u64,
    /// Bytes waiting in the workers' inboxes now: commands of other threads and workers, messages
    /// included. Bounded by [`max_inbox`](crate::server::Builder::max_inbox) for each worker.
    pub inbox_bytes: u64,
    /// Messages that were not sent because of a backlog, and those dropped to make room for later
    /// ones.
    pub dropped: u64,
    /// Messages that waited and were replaced by later ones of their topic, which
    /// [conflates](crate::server::topics::TopicOptions::conflate). They also count as sent.
    pub conflated: u64,
    /// Messages that were over a rate limit, and pauses for it.
    pub rate_limited: u64,
    /// Connections of returning clients: those whose request has `previous-connection` in its
    /// query, with any value, such as `/chat?previous-connection=1`. A client adds it when it comes
    /// back after its connection broke; the server can't know by itself.
    pub reconnections: u64,
    /// Why connections failed.
    pub errors: Counts<ErrorCause>,
    /// How connections ended, by close code.
    pub closes: CloseCounts,
    /// Why opening handshakes failed.
    pub handshake_failures: Counts<HandshakeFailure>,
    /// Topics to be shown one by one, in both formats. Empty unless the application sets it, from
    /// [`Handle::topic_stats`](crate::server::Handle::topic_stats): each name is a time series that
    /// Prometheus stores forever, and clients may choose the names.
    ///
    /// ```
    /// use sockeye::server::Handle;
    ///
    /// fn metrics(handle: &Handle) -> String {
    ///     let mut stats = handle.stats();
    ///     stats.largest_topics = handle.topic_stats(20);
    ///     stats.to_prometheus()
    /// }
    /// # let _ = metrics;
    /// ```
    pub largest_topics: Vec<TopicStats>,
}

impl Stats {
    /// The content type of [`to_prometheus`](Self::to_prometheus).
    pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Sums over workers. The caller sets afterwards what is known elsewhere.
    pub(in crate::server) fn sum<'a>(
        workers: impl IntoIterator<Item = &'a Metrics>,
        uptime: Duration,
    ) -> Self {
        let mut stats = Self {
            uptime,
            ..Self::default()
        };
        for worker in workers {
            stats.connections += worker.connections.value();
            stats.connections_opened += worker.connections_opened.value();
            stats.messages_received += worker.messages_received.value();
            stats.messages_sent += worker.messages_sent.value();
            stats.bytes_received += worker.bytes_received.value();
            stats.bytes_sent += worker.bytes_sent.value();
            stats.messages_published += worker.messages_published.value();
            stats.bytes_published += worker.bytes_published.value();
            stats.topics += worker.topics.value();
            stats.subscriptions += worker.subscriptions.value();
            stats.queued_bytes += worker.queued_bytes.value();
            stats.published_bytes += worker.published_bytes.value();
            stats.dropped += worker.dropped.value();
            stats.conflated += worker.conflated.value();
            stats.rate_limited += worker.rate_limited.value();
            stats.reconnections += worker.reconnections.value();
            stats.connections_unused += worker.unused.value();
            stats.errors.add(&worker.errors);
            stats.handshake_failures.add(&worker.handshake_failures);
        }
        stats
    }
}

#[cfg(test)]
mod tests;
