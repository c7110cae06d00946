//! What follows the work that a connection has deferred: in order, once it is done.

use super::{Next, Phase, Session, Turn};
use crate::net::Transport;
use crate::server::call::Call;
use crate::server::pool::Outcome;

impl<T: Transport> Session<T> {
    /// Continues after some of its work is done.
    pub(in crate::server) fn worked(&mut self, turn: &mut Turn<'_>) -> Next {
        self.continue_deferred(turn);
        self.take_notices(turn);
        self.advance(false, turn)
    }

    /// Continues with the work that was deferred first, if it is done.
    pub(super) fn continue_deferred(&mut self, turn: &mut Turn<'_>) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        match open.ws.take_deferred() {
            None => return,
            Some(Outcome::Continue(function)) => self.call(turn, |application, io| {
                application.on_call(io, Call::Function(function));
            }),
            Some(Outcome::Panicked) => self.panicked(turn),
        }
        if let Phase::Open(open) = &mut self.phase {
            open.ws.continued();
        }
    }
}
