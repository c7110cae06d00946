//! Receiving: from the transport to the application, and where it stops.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::vec::Vec;

use super::{Gone, Phase, Session, Turn};
use crate::net::Transport;
use crate::proto::Input;
use crate::server::end::EndKind;
use crate::server::handler::{Memory, OpenSession, Over, Stop};
use crate::server::websocket::{CORK_LIMIT, FastPath, SocketIo};

impl<T: Transport> Session<T> {
    /// The usual turn, of a session that [settles](Session::settles): writes what others sent to
    /// it; reads once, handles what was read, writes once. The same as
    /// [`advance`](Session::advance), without the checks that such a session doesn't need. Returns
    /// whether it is settled, with nothing left to do.
    #[inline]
    pub(super) fn turn_settled(&mut self, turn: &mut Turn<'_>) -> Result<bool, Gone> {
        if !self.queue.is_unused() {
            let held = self.transport.held();
            let written = self
                .queue
                .write(&mut self.transport, &[], &turn.worker.pool);
            if !self.took_all(&written, self.queue.len()) {
                return self.wrote(written, held, turn).map(|()| false);
            }
            let bytes = self.queue.len() as u64;
            turn.worker.metrics.bytes_sent.add(bytes);
            self.queue.clear(&turn.worker.pool);
        }
        if !self.readable {
            return Ok(true);
        }
        let buffer = mem::take(&mut turn.buffer);
        let read = self.transport.read(buffer);
        if self.transport.held() > 0 {
            self.queue.hold(&self.transport);
        }
        let received = match read {
            Ok(count) if count > 0 => {
                self.count_read(count, buffer.len(), turn);
                let mut input = Input::new(&mut buffer[..count]);
                let stop = self.events(&mut input, turn);
                if matches!(stop, Ok(Stop::Drained)) {
                    // Forgotten, since dropping it would check its variant.
                    mem::forget(stop);
                    Ok(self.stays_settled())
                } else {
                    self.stopped(stop, &mut input, turn).map(|()| false)
                }
            }
            nothing => self.read_nothing(nothing, turn).map(|()| false),
        };
        turn.buffer = buffer;
        let settled = received?;
        if settled && !turn.cork.is_empty() {
            let written = self.transport.write(turn.cork);
            if !self.took_all(&written, turn.cork.len()) {
                return self.wrote(written, 0, turn).map(|()| false);
            }
            turn.worker.metrics.bytes_sent.add(turn.cork.len() as u64);
            turn.cork.clear();
        }
        Ok(settled && !self.readable)
    }

    /// Whether it is still settled after events that all went through.
    #[inline]
    fn stays_settled(&self) -> bool {
        let settled = self.fast_path().is_some_and(FastPath::stays_settled);
        debug_assert_eq!(settled, self.is_settled());
        settled
    }

    pub(super) fn read(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let buffer = mem::take(&mut turn.buffer);
        // The rest of a large message is read to where it is assembled, and only what follows it
        // goes through the worker's buffer.
        let space = match &mut self.phase {
            Phase::Open(open) => open.ws.connection.space(),
            _ => None,
        };
        // The length of the room, the number of bytes read, and how many of them lie behind the
        // space.
        let (room, read) = match space {
            Some(mut space) => {
                let room = space.len() + buffer.len();
                let read = self.transport.read_both(&mut space, buffer);
                (room, read.map(|count| (count, space.filled(count))))
            }
            None => {
                let read = self.transport.read(buffer);
                (buffer.len(), read.map(|count| (count, count)))
            }
        };
        self.queue.hold(&self.transport);
        let result = match read {
            Ok((count, behind)) if count > 0 => {
                self.count_read(count, room, turn);
                self.receive(&mut buffer[..behind], turn)
            }
            nothing => self.read_nothing(nothing.map(|(count, _)| count), turn),
        };
        turn.buffer = buffer;
        result
    }

    /// Whether a write has left nothing of `all` to do.
    #[inline]
    fn took_all(&self, written: &io::Result<usize>, all: usize) -> bool {
        matches!(written, Ok(count) if *count == all) && self.transport.held() == 0
    }

    /// Counts `count` bytes that were read into `room`.
    #[inline]
    fn count_read(&mut self, count: usize, room: usize, turn: &Turn<'_>) {
        turn.worker.metrics.bytes_received.add(count as u64);
        // A short read has drained the socket, unless its end follows.
        self.readable = self.transport.has_more(count, room) || self.read_closed;
    }

    /// Handles the end of the stream, or an error.
    #[cold]
    fn read_nothing(&mut self, read: io::Result<usize>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let Err(error) = read else {
            return self.eof(turn);
        };
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(())
            }
            _ => Err(self.lost(EndKind::Broken(error), turn)),
        }
    }

    /// Continues with bytes that a pause has left.
    pub(super) fn take_unread(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let halt = self.halt.as_mut();
        let mut bytes = halt.map_or_else(Vec::new, |it| mem::take(&mut it.unread));
        self.tidy();
        self.receive(&mut bytes, turn)
    }

    /// Handles bytes from the peer, and writes the output that they cause.
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Result<(), Gone> {
        let mut input = Input::new(bytes);
        if let Phase::Opening(opening) = &mut self.phase {
            if let Some(header) = &mut opening.proxy_header {
                header.extend_from_slice(input.as_slice());
                return match self.proxy_header(turn)? {
                    Some(mut behind) if !behind.is_empty() => self.receive(&mut behind, turn),
                    _ => Ok(()),
                };
            }
            opening.begun = true;
            if opening.is_deferred() {
                // The transport is broken and only read to its error: no request is answered.
                return Ok(());
            }
            self.requests(&mut input, turn)?;
        }
        // The application may have paused as the connection opened.
        let paused = self.is_paused(&turn.endpoints.options);
        let unread = self.has_unread();
        match &mut self.phase {
            // Kept where a pause left it; not empty while the application decides.
            Phase::Opening(_) if unread => {}
            Phase::Opening(_) => self.keep_unread(input.as_slice()),
            Phase::Open(_) if paused => self.keep_unread(input.as_slice()),
            Phase::Open(open) => {
                // An assembled message may be sent on without a copy. Only then is the queue lent
                // memory: an idle session owns no buffer.
                let assembles = !open.ws.connection.is_settled();
                if assembles {
                    self.queue.lend(&turn.worker.pool);
                }
                let result = self.messages(&mut input, turn);
                if assembles {
                    self.queue.reclaim(&turn.worker.pool);
                }
                result?;
            }
            // Beyond a bound it is dropped next.
            Phase::Lingering(linger) => linger.discard(input.len()),
        }
        self.write(turn)
    }

    /// Handles frames: each event goes to the application. Stops where the session has to pause.
    fn messages(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let stop = self.events(input, turn);
        self.stopped(stop, input, turn)
    }

    /// Handles what stopped the events, and continues with them.
    #[inline(never)]
    fn stopped(
        &mut self,
        mut stop: thread::Result<Stop>,
        input: &mut Input<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        loop {
            match stop {
                Ok(Stop::Drained) => return Ok(()),
                Ok(Stop::Over(over)) => {
                    match *over {
                        Over::Closed(closed) => self.end(EndKind::Closed(closed), turn),
                        Over::Failed(fault) => self.fail(fault, turn),
                    }
                    return Ok(());
                }
                Ok(Stop::News) => {}
                Err(_) => self.panicked(turn),
            }
            self.take_notices(turn);
            self.end_if_asked(turn)?;
            if self.pauses(input, turn)? {
                return Ok(());
            }
            stop = self.events(input, turn);
        }
    }

    /// Gives events to the application until the session has to step in.
    ///
    /// # Errors
    /// A panic of the application's, for [`stopped`](Self::stopped).
    #[inline]
    fn events(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> thread::Result<Stop> {
        let Phase::Open(open) = &mut self.phase else {
            return Ok(Stop::Drained);
        };
        let OpenSession { ws, application } = &mut **open;
        #[cfg(feature = "tracing")]
        let _span = crate::server::observe::connection_span(turn.id, self.remote.peer).entered();
        let mut io = SocketIo {
            id: turn.id,
            worker: turn.worker,
            remote: &self.remote,
            ws: &mut *ws,
            cork: turn.cork,
            queue: &mut self.queue,
            local: turn.local,
        };
        let memory = Memory {
            scratch: &mut *turn.scratch,
            pool: &turn.worker.pool,
        };
        // As in `call`; caught once for all that was read, since it costs some instructions.
        catch_unwind(AssertUnwindSafe(|| {
            application.events(&mut io, input, memory)
        }))
    }

    /// Writes if much has gathered. Returns whether the session has to pause; then the rest of the
    /// input is kept.
    #[inline]
    pub(super) fn pauses(&mut self, input: &Input<'_>, turn: &mut Turn<'_>) -> Result<bool, Gone> {
        let corked = turn.cork.len();
        let fills = match self.fast_path() {
            Some(open) => open.fills(corked) || corked > CORK_LIMIT,
            None => corked > CORK_LIMIT,
        };
        if !fills && !self.is_paused(&turn.endpoints.options) {
            return Ok(false);
        }
        self.write(turn)?;
        if !self.is_paused(&turn.endpoints.options) {
            return Ok(false);
        }
        self.keep_unread(input.as_slice());
        Ok(true)
    }

    /// Whether a pause has left received bytes.
    pub(super) fn has_unread(&self) -> bool {
        self.halt.as_ref().is_some_and(|it| !it.unread.is_empty())
    }

    /// Keeps received bytes that a pause leaves.
    pub(super) fn keep_unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() || self.has_unread() {
            self.halt.get_or_insert_default().unread = bytes.to_vec();
            self.tidy();
        }
    }

    /// Frees memory that it no longer needs.
    pub(super) fn tidy(&mut self) {
        if self
            .halt
            .as_ref()
            .is_some_and(|it| it.unread.is_empty() && it.last.is_none() && it.left_at.is_none())
        {
            self.halt = None;
        }
    }
}
