//! Counting what is received, and the limits on it.

use std::sync::Arc;

use super::SocketIo;
use crate::server::end::EndKind;
use crate::server::limits::Verdict;

impl SocketIo<'_> {
    /// Counts a received message, or a piece of one, and checks the rate limits; returns whether
    /// the application gets it. A streamed message is refused from the piece on that exceeded a
    /// limit.
    #[inline]
    pub(in crate::server) fn allows(&mut self, first: bool, bytes: usize) -> bool {
        let account = &mut self.ws.account;
        account.messages_received += u64::from(first);
        account.bytes_received += bytes as u64;
        self.worker.metrics.messages_received.add(first.into());
        if !self.ws.limited {
            return true;
        }
        if first || !self.ws.refusing {
            self.ws.refusing = !self.check_rate(first.into(), bytes);
        }
        !self.ws.refusing
    }

    /// Checks what the connection sent against its limit and those of its address and its key, and
    /// applies their action.
    #[inline(never)]
    fn check_rate(&mut self, messages: u32, bytes: usize) -> bool {
        let now = self.worker.now;
        let ws = &mut *self.ws;
        let options = Arc::clone(&ws.options);
        let cold = ws.cold.get_or_insert_default();
        let client_ip = self.remote.client_ip();
        let verdict = cold
            .rate
            .check(&options.rate_limit, messages, bytes, now)
            .and(|| match &self.worker.shared.by_address {
                Some(limit) => limit.check(&client_ip, messages, bytes, now),
                None => Verdict::Deliver,
            })
            .and(|| match (&options.rate_by_key, cold.rate_key.as_deref()) {
                (Some(limit), Some(key)) => limit.table.check(key, messages, bytes, now),
                _ => Verdict::Deliver,
            });
        if verdict == Verdict::Deliver {
            return true;
        }
        self.worker.metrics.rate_limited.add(1);
        match verdict {
            Verdict::Deliver => true,
            Verdict::DeliverThenPause(pause) => {
                cold.resume_at = Some(now.saturating_add(pause));
                true
            }
            Verdict::Drop => false,
            Verdict::Reply(text) => {
                // While a fragmented message is sent, the notice is dropped, too.
                self.append(text.len(), |ws, out| ws.connection.send(text, out));
                false
            }
            Verdict::Close(code, reason) => {
                ws.close_for(EndKind::RateLimit(code), reason, self.cork, now);
                false
            }
        }
    }
}
