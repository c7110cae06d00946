//! What the workers of a server share, none of it on the way of a message.

use std::boxed::Box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use matchit::Params;

use super::handle::{ConnectionId, Inbox};
use super::handler::End;
use super::http::Request;
use super::route::{Guard, Options};
use super::router::Router;
use super::socket::Peers;
use super::topics::{Directory, SubscribeError};
use crate::net::{Clock, Keep};
use crate::proto::{self, PreparedMessage};

/// What does not change while the server runs.
pub(super) struct Settings {
    /// Those of the routes where they have none of their own, and of connections before they are
    /// open.
    pub(super) options: Options,
    pub(super) guards: Vec<Box<dyn Guard>>,
    pub(super) router: Router,
    pub(super) max_body: usize,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) directory: Directory,
    /// Connections of each worker, open or not.
    pub(super) loads: Vec<AtomicUsize>,
}

impl Shared {
    /// A connection is accepted: the worker that has the fewest takes it in.
    pub(super) fn take_in(&self) -> usize {
        let load = |worker: &usize| self.loads[*worker].load(Ordering::Relaxed);
        let worker = (0..self.loads.len()).min_by_key(load).unwrap_or(0);
        self.loads[worker].fetch_add(1, Ordering::Relaxed);
        worker
    }

    /// A connection of this worker is gone.
    pub(super) fn left(&self, worker: usize) {
        self.loads[worker].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// A request as the application sees it.
    pub(super) fn request<'a>(
        &self,
        request: proto::Request<'a>,
        params: Params<'a, 'a>,
        peer: SocketAddr,
    ) -> Request<'a> {
        Request::new(request, params, peer)
    }

    /// A connection that was open is over.
    pub(super) fn closed(&self, id: ConnectionId, end: &End) {
        let _ = (id, end);
    }

    /// Ends the subscriptions of a connection that is over.
    pub(super) fn leave_topics(
        &self,
        id: ConnectionId,
        topics: impl IntoIterator<Item = Arc<str>>,
        peers: &mut dyn Peers,
    ) {
        for topic in topics {
            self.directory.remove(&topic, id);
            peers.unsubscribe(&topic, id.token());
        }
    }

    pub(super) fn check_topic(&self, topic: &str, id: ConnectionId) -> Result<(), SubscribeError> {
        let _ = (topic, id);
        Ok(())
    }

    pub(super) fn keep(&self, topic: &str) -> Keep {
        let _ = topic;
        Keep::Always
    }

    pub(super) fn remember(&self, topic: &str, message: &PreparedMessage) {
        let _ = (topic, message);
    }

    pub(super) fn recent(&self, topic: &str) -> Vec<PreparedMessage> {
        let _ = topic;
        Vec::new()
    }
}
