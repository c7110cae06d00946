//! Calls of the application: what other threads ask of an open session, and what a call has left to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Next, Phase, Session, Turn};
use crate::net::Transport;
use crate::server::call::Call;
use crate::server::end::EndKind;
use crate::server::handler::{Application, OpenSession};
use crate::server::topics::{SubscribeError, Subscribing, TopicName};
use crate::server::websocket::{Notice, SocketIo};

impl<T: Transport> Session<T> {
    /// Adds a subscription that another thread asked for.
    pub(in crate::server) fn subscribe(
        &mut self,
        subscribing: &Subscribing,
        turn: &mut Turn<'_>,
    ) -> Next {
        // The guard is the application's: its panic ends only this connection.
        self.notify(turn, |_, io| io.subscribe_at(subscribing));
        self.advance(false, turn)
    }

    /// Notifies the application that a subscription of another thread was refused.
    pub(in crate::server) fn refuse(
        &mut self,
        topic: &Arc<str>,
        error: SubscribeError,
        turn: &mut Turn<'_>,
    ) -> Next {
        self.notify(turn, |_, io| io.refuse(topic, error));
        self.advance(false, turn)
    }

    pub(in crate::server) fn unsubscribe(&mut self, topic: &str, turn: &mut Turn<'_>) -> Next {
        self.call(turn, |_, io| _ = io.end_subscription(topic));
        self.take_notices(turn);
        self.advance(false, turn)
    }

    /// Calls the application as another thread asked.
    pub(in crate::server) fn told(&mut self, call: Call, turn: &mut Turn<'_>) -> Next {
        self.notify(turn, |application, io| application.on_call(io, call));
        self.advance(false, turn)
    }

    /// Pauses or resumes reading, as another thread asked.
    pub(in crate::server) fn set_paused(&mut self, paused: bool, turn: &mut Turn<'_>) -> Next {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.set_paused(paused);
        }
        self.advance(false, turn)
    }

    /// Calls the application of an open session, and then does what the call has left to do. A panic
    /// ends the connection.
    #[inline]
    pub(super) fn notify(
        &mut self,
        turn: &mut Turn<'_>,
        call: impl for<'a> FnOnce(&'a mut (dyn Application + 'static), &'a mut SocketIo<'a>),
    ) {
        self.call(turn, call);
        self.take_notices(turn);
    }

    #[inline]
    pub(super) fn call(
        &mut self,
        turn: &mut Turn<'_>,
        call: impl for<'a> FnOnce(&'a mut (dyn Application + 'static), &'a mut SocketIo<'a>),
    ) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        // After a panic only `on_close` is called, once that end was taken.
        if matches!(open.ws.end(), Some(EndKind::Panicked)) {
            return;
        }
        let OpenSession { ws, application } = &mut **open;
        let mut io = SocketIo {
            id: turn.id,
            worker: turn.worker,
            remote: &self.remote,
            ws: &mut *ws,
            cork: turn.cork,
            queue: &mut self.queue,
            local: turn.local,
        };
        #[cfg(feature = "tracing")]
        let _span = crate::server::observe::connection_span(turn.id, self.remote.peer).entered();
        // The session is consistent after each call through the socket, and the application is
        // called again only for its end.
        if catch_unwind(AssertUnwindSafe(|| call(application, &mut io))).is_err() {
            self.panicked(turn);
        }
    }

    /// Ends the connection after a panic of the application.
    #[cold]
    pub(super) fn panicked(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.panicked(turn.cork, turn.worker.now);
        }
    }

    pub(super) fn take_notices(&mut self, turn: &mut Turn<'_>) {
        // Unbounded: these calls can subscribe and unsubscribe again, but a handler that never
        // stops doing so hangs its worker in any case.
        while let Phase::Open(open) = &mut self.phase {
            let notices = open.ws.take_notices();
            if notices.is_empty() {
                return;
            }
            for it in notices {
                match it {
                    Notice::Subscribed(topic, count) => self.call(turn, |application, io| {
                        application.on_subscribe(io, TopicName::split(&topic).name, count);
                    }),
                    Notice::Unsubscribed(topic, left) => self.call(turn, |application, io| {
                        application.on_unsubscribe(io, TopicName::split(&topic).name, left);
                    }),
                    Notice::Call(call) => {
                        self.call(turn, |application, io| application.on_call(io, call));
                    }
                    Notice::Worked => self.continue_deferred(turn),
                    // It is looked at before the turn ends.
                    Notice::Timer => {}
                }
            }
        }
    }
}
