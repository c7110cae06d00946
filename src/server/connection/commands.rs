//! Commands for a connection that its own thread has given through a
//! [`Handle`](crate::server::Handle), while its application goes on.

use super::{Delivery, SocketIo};
use crate::server::handler::EndKind;
use crate::server::output::Keep;
use crate::server::run::inbox::Command;

impl SocketIo<'_> {
    /// Carries out for this connection what its worker's handlers have asked of it through a
    /// [`Handle`](crate::server::Handle), and what is before it: so that it comes before what is
    /// asked next. It is passed over when its turn comes.
    #[cold]
    #[inline(never)]
    pub(in crate::server) fn catch_up(&mut self) {
        let inbox = &self.context.inbox;
        let until = inbox.own();
        if until == 0 {
            return;
        }
        let token = self.id.token();
        if let Some((number, command)) = self.peers.direct_for(token)
            && !self.link.is_ahead_of(number)
        {
            self.link.set_ahead_of_direct(number);
            self.carry_out(command);
        }
        loop {
            let after = self.link.ahead();
            let Some((number, command)) = self.peers.next_for(token, after, until, inbox) else {
                break;
            };
            self.link.set_ahead(number + 1);
            self.carry_out(command);
        }
        self.link.set_ahead(until + 1);
    }

    /// What a command asks of this connection.
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Publish(publication) => {
                let begun = self.peers.begun(&publication.topic.name, self.id.token());
                if begun.is_some_and(|it| it < publication.offset) {
                    let keep = Delivery::keep(&publication.topic);
                    self.send_between(&publication.message, keep);
                }
            }
            Command::Send(_, message) => _ = self.send_between(&message, Keep::Always),
            Command::Close(_, code, reason) => {
                self.link.close(code, &reason, self.cork, self.context.now);
            }
            Command::Terminate(_) => self.link.rare().end = Some(EndKind::Terminated),
            Command::Subscribe(_, subscribing) => self.subscribe_at(&subscribing),
            Command::Unsubscribe(_, topic) => _ = self.unsubscribe(&topic),
            Command::Refuse(_, topic, error) => self.refuse(&topic, error),
            // None is for an open connection.
            Command::Decided(_) | Command::Inspect(_) | Command::ShutDown(_) => {}
        }
    }
}
