//! The commands that a worker has taken out of its inbox, in order, and how far it has got.

use std::collections::VecDeque;
use std::time::Duration;

use mio::Token;

use crate::server::run::inbox::{Command, DIRECT, Inbox};
use crate::server::websocket::STALLS_AFTER;

/// How long the gate waits for a subscriber that keeps reading: everything behind the message
/// waits, too. A subscriber that reads steadily has taken half of `max_backpressure` by then.
const LAGS_AFTER: Duration = Duration::from_secs(2);

/// Why a message has not reached all subscribers yet.
pub(super) enum Stop {
    /// The deliveries of the turn are used up.
    Budget,
    /// This subscriber has no room for a message of this many bytes, and is waited for.
    Full(Token, usize),
}

#[derive(Default)]
pub(super) struct Pending {
    commands: VecDeque<Command>,
    /// The number of the last command that was carried out.
    done: u64,
    /// How many direct messages had to stop on their way.
    stopped: u64,
    /// How far the first command has come, if it is a message that some subscribers already have.
    begun: Option<Begun>,
    gate: Option<Gate>,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begun {
    /// The last subscriber that has it.
    pub(super) cursor: Option<Token>,
    /// Whether subscribers without room are no longer waited for.
    pub(super) hurries: bool,
    /// Whether it is a direct message, which is not among the inbox's commands and is numbered
    /// apart.
    direct: bool,
}

/// Holds back all commands until this subscriber has room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) token: Token,
    /// Bytes for which it needs room.
    pub(super) length: usize,
    since: Duration,
    /// When it last took something, if its transport did not take everything.
    pub(super) progress: Option<Duration>,
}

impl Gate {
    /// Returns when it opens at the latest.
    pub(super) fn opens_at(&self) -> Duration {
        let lags = self.since.saturating_add(LAGS_AFTER);
        let stalls = self.progress.map(|it| it.saturating_add(STALLS_AFTER));
        stalls.map_or(lags, |it| lags.min(it))
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn take(&mut self, inbox: &Inbox) {
        inbox.take(&mut self.commands);
    }

    /// Stops carrying out commands.
    pub(super) fn stop(&mut self, inbox: &Inbox) {
        inbox.stop(&mut self.commands);
    }

    /// Returns the number of a direct message that is published now.
    pub(super) fn direct(&self) -> u64 {
        DIRECT | (self.stopped + 1)
    }

    /// Returns whether the first command is a direct message.
    pub(super) fn is_direct(&self) -> bool {
        self.begun.as_ref().is_some_and(|it| it.direct)
    }

    /// Returns the first command, its number, and how far it has come.
    pub(super) fn next(&mut self) -> Option<(Command, u64, Begun)> {
        let command = self.commands.pop_front()?;
        let begun = self.begun.take().unwrap_or_default();
        if begun.direct {
            return Some((command, DIRECT | self.stopped, begun));
        }
        // From here on it counts as carried out, also for what it causes.
        self.done += 2;
        Some((command, self.done, begun))
    }

    /// Puts back the first command, which isn't finished.
    pub(super) fn put_back(&mut self, command: Command, begun: Begun) {
        self.commands.push_front(command);
        if !begun.direct {
            self.done -= 2;
        }
        self.begun = Some(begun);
    }

    /// Continues later with a message that was published here and has got to `cursor`.
    pub(super) fn resume(
        &mut self,
        command: Command,
        cursor: Option<Token>,
        stop: Stop,
        now: Duration,
        inbox: &Inbox,
    ) {
        inbox.count(command.bytes());
        inbox.own_begun(self.done + 1);
        self.stopped += 1;
        self.commands.push_front(command);
        self.begun = Some(Begun {
            cursor,
            hurries: false,
            direct: true,
        });
        self.wait_for(stop, now);
    }

    pub(super) fn wait_for(&mut self, stop: Stop, now: Duration) {
        if let Stop::Full(token, length) = stop {
            self.gate = Some(Gate {
                token,
                length,
                since: now,
                progress: None,
            });
        }
    }

    pub(super) fn gate(&self) -> Option<Gate> {
        self.gate
    }

    pub(super) fn gate_mut(&mut self) -> Option<&mut Gate> {
        self.gate.as_mut()
    }

    /// Opens the gate; with `hurry`, no other subscriber without room for the message is waited
    /// for.
    pub(super) fn open_gate(&mut self, hurry: bool) {
        self.gate = None;
        if let Some(begun) = &mut self.begun {
            begun.hurries |= hurry;
        }
    }

    /// Returns the number up to which the handlers' commands, and their direct messages, are
    /// carried out.
    pub(super) fn done(&self) -> u64 {
        self.done + u64::from(!self.is_direct())
    }

    /// Returns the first command for `token`, taken or still in the inbox, with a number from
    /// `after` to `until`.
    pub(super) fn next_for(
        &mut self,
        token: Token,
        after: u64,
        until: u64,
        inbox: &Inbox,
    ) -> Option<(u64, Command)> {
        self.take(inbox);
        let first = self.done + 2 * u64::from(!self.is_direct());
        let skip = (after.saturating_sub(first) / 2) as usize;
        for (at, command) in self.commands.iter().enumerate().skip(skip) {
            let number = first + 2 * at as u64;
            if number > until {
                break;
            }
            let direct = at == 0 && self.is_direct();
            if number >= after && !direct && self.is_for(token, at, command) {
                return Some((number, command.clone()));
            }
        }
        None
    }

    /// Returns the direct message that is still on its way to `token`, with its number.
    pub(super) fn direct_for(&self, token: Token) -> Option<(u64, Command)> {
        let command = self.commands.front()?;
        let is_for = self.is_direct() && self.is_for(token, 0, command);
        is_for.then(|| (DIRECT | self.stopped, command.clone()))
    }

    fn is_for(&self, token: Token, at: usize, command: &Command) -> bool {
        let has_it = |begun: &Begun| begun.cursor >= Some(token);
        let except = match command {
            Command::Publish(publication) => publication.except,
            Command::PublishJoint(_, except) => *except,
            command => return command.token() == Some(token),
        };
        except != Some(token) && !(at == 0 && self.begun.as_ref().is_some_and(has_it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::run::inbox::Inbox;

    fn numbers(pending: &mut Pending, inbox: &Inbox, token: usize, after: u64) -> Option<u64> {
        let next = pending.next_for(Token(token), after, u64::MAX, inbox);
        next.map(|(number, _)| number)
    }

    #[test]
    fn commands_have_numbers_in_their_order_and_keep_them() {
        let (inbox, mut pending) = (Inbox::new(None, 1 << 20), Pending::default());
        for token in [1, 2, 1] {
            inbox.push(Command::Terminate(Token(token)));
        }
        assert_eq!(numbers(&mut pending, &inbox, 1, 0), Some(2));
        assert_eq!(numbers(&mut pending, &inbox, 1, 3), Some(6));
        assert_eq!(numbers(&mut pending, &inbox, 2, 0), Some(4));
        assert_eq!(numbers(&mut pending, &inbox, 2, 5), None);
        let (command, number, begun) = pending.next().unwrap();
        assert_eq!((number, pending.done()), (2, 3));
        pending.put_back(command, begun);
        assert_eq!(pending.next().unwrap().1, 2);
        inbox.push(Command::Terminate(Token(3)));
        assert_eq!(numbers(&mut pending, &inbox, 3, 0), Some(8));
        assert_eq!(pending.next().unwrap().1, 4);
        assert_eq!(pending.next().unwrap().1, 6);
        assert_eq!(pending.next().unwrap().1, 8);
        assert!(pending.next().is_none());
    }
}
