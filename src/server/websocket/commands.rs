//! Commands for a connection that its worker's thread has given through a
//! [`Handle`](crate::server::Handle) while the application still runs.

use super::{LocalDelivery, Notice, SocketIo};
use crate::server::end::EndKind;
use crate::server::run::inbox::Command;
use crate::server::write_queue::Keep;

impl SocketIo<'_> {
    /// Carries out what the worker's handlers have asked of this connection through a
    /// [`Handle`](crate::server::Handle), and the commands before that, so that they come before
    /// what is asked next. The worker skips them when their turn comes.
    #[cold]
    #[inline(never)]
    pub(in crate::server) fn catch_up(&mut self) {
        let inbox = &self.worker.inbox;
        let until = inbox.own();
        if until == 0 {
            return;
        }
        let token = self.id.token();
        if let Some((number, command)) = self.local.direct_for(token)
            && !self.ws.is_ahead_of(number)
        {
            self.ws.set_ahead_of_direct(number);
            self.carry_out(command);
        }
        loop {
            let after = self.ws.ahead();
            let Some((number, command)) = self.local.next_for(token, after, until, inbox) else {
                break;
            };
            self.ws.set_ahead(number + 1);
            self.carry_out(command);
        }
        self.ws.set_ahead(until + 1);
    }

    /// Carries out one command for this connection.
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Publish(publication) => {
                let begun = self.local.begun(&publication.topic.name, self.id.token());
                if begun.is_some_and(|it| it < publication.offset) {
                    let keep = LocalDelivery::keep(&publication.topic);
                    self.send_between(&publication.message, keep);
                }
            }
            Command::PublishJoint(joint, _) => {
                let begun = |topic: &str| self.local.begun(topic, self.id.token());
                if let Some(topic) = joint.topic_for(begun) {
                    self.send_between(&joint.message, LocalDelivery::keep(topic));
                }
            }
            Command::Send(_, message) => _ = self.send_between(&message, Keep::Always),
            Command::Close(_, code, reason) => {
                self.ws.close(code, &reason, self.cork, self.worker.now);
            }
            Command::Terminate(_) => self.ws.cold().end = Some(EndKind::Terminated),
            Command::Subscribe(_, subscribing) => self.subscribe_at(&subscribing),
            Command::Unsubscribe(_, topic) => _ = self.end_subscription(&topic),
            Command::Refuse(_, topic, error) => self.refuse(&topic, error),
            Command::Pause(_, paused) => self.ws.set_paused(paused),
            // The application is being called: when it returns.
            Command::Call(_, parcel) => {
                self.ws
                    .cold()
                    .notices
                    .extend(parcel.open().map(Notice::Call));
            }
            Command::Worked(_) => self.ws.cold().notices.push(Notice::Worked),
            // None of these is for an open connection.
            Command::Decided(_)
            | Command::Inspect(_)
            | Command::StopAccepting
            | Command::Drain(_)
            | Command::ShutDown(_) => {}
        }
    }
}
