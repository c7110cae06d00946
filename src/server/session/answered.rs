//! What all responses have in common: their date, and that observers are told of them.

use std::boxed::Box;
use std::net::IpAddr;
use std::time::Duration;
use std::vec::Vec;

use super::{Phase, Session, Turn};
use crate::net::Transport;
use crate::proto::PartialRequest;
use crate::server::observe::RequestLog;

/// What is told of a request, kept beyond it.
pub(super) struct Asked {
    client_ip: IpAddr,
    method: Option<Box<str>>,
    target: Option<Box<str>>,
    user_agent: Option<Box<str>>,
    took: Duration,
}

impl<T: Transport> Session<T> {
    /// Keeps what is told of a request; None if nobody observes.
    pub(super) fn asked(&self, request: PartialRequest<'_>, turn: &Turn<'_>) -> Option<Asked> {
        if turn.worker.shared.observers.is_empty() {
            return None;
        }
        let since = match &self.phase {
            Phase::Opening(opening) => opening.since,
            _ => turn.worker.now,
        };
        let headers = request.headers();
        let user_agent = headers.get("user-agent");
        Some(Asked {
            client_ip: match request.is_complete() {
                true => turn.endpoints.client_ip(self.remote.peer, headers),
                false => self.remote.client_ip(),
            },
            method: request.method().map(Into::into),
            target: request.target().map(Into::into),
            user_agent: user_agent.and_then(|it| str::from_utf8(it).ok().map(Into::into)),
            took: turn.worker.now.saturating_sub(since),
        })
    }

    /// Like [`asked`](Self::asked), for the request that is under way.
    pub(super) fn asked_last(&self, turn: &Turn<'_>) -> Option<Asked> {
        match &self.phase {
            Phase::Opening(opening) => self.asked(opening.request()?, turn),
            _ => None,
        }
    }

    /// Dates the response that begins at `start` of the output, if there is one, and tells the
    /// observers of it.
    pub(super) fn responded(&self, asked: Option<Asked>, start: usize, turn: &mut Turn<'_>) {
        let Some(status) = status(&turn.cork[start..]) else {
            return;
        };
        let (shared, now) = (&turn.worker.shared, turn.worker.now);
        // RFC 9110 section 6.6.1: "An origin server with a clock MUST generate a Date header field
        // in all 2xx (Successful), 3xx (Redirection), and 4xx (Client Error) responses".
        if status >= 200 {
            let cork = &mut *turn.cork;
            turn.worker
                .date
                .at(now, &shared.clock, |date| add_date(cork, start, date));
        }
        if let Some(asked) = asked {
            shared.requested(&RequestLog {
                peer_addr: self.remote.peer,
                client_ip: asked.client_ip,
                method: asked.method.as_deref(),
                target: asked.target.as_deref(),
                user_agent: asked.user_agent.as_deref(),
                status,
                bytes: turn.cork.len() - start,
                took: asked.took,
            });
        }
    }
}

/// The status of a response that was written: `HTTP/1.1 200 …`.
fn status(response: &[u8]) -> Option<u16> {
    let digits = response.get(9..12)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Adds the date behind the status line, unless the application has set one.
fn add_date(out: &mut Vec<u8>, start: usize, date: &str) {
    let lines = out[start..].split_inclusive(|&byte| byte == b'\n');
    let mut at = start;
    for (index, line) in lines.enumerate() {
        match line {
            b"\r\n" => break,
            _ if index == 0 => at += line.len(),
            _ if line
                .get(..5)
                .is_some_and(|it| it.eq_ignore_ascii_case(b"date:")) =>
            {
                return;
            }
            _ => {}
        }
    }
    let parts = [b"Date: ", date.as_bytes(), b"\r\n"];
    out.splice(at..at, parts.concat());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn dated(response: &str) -> String {
        let mut out = [b"before\r\n\r\n", response.as_bytes()].concat();
        add_date(&mut out, 10, "now");
        String::from_utf8(out.split_off(10)).unwrap()
    }

    #[test]
    fn a_date_is_behind_the_status_line_and_only_one() {
        assert_eq!(
            dated("HTTP/1.1 200 OK\r\nA: b\r\n\r\ndate: no\r\n"),
            "HTTP/1.1 200 OK\r\nDate: now\r\nA: b\r\n\r\ndate: no\r\n"
        );
        assert_eq!(
            dated("HTTP/1.1 204 \r\n\r\n"),
            "HTTP/1.1 204 \r\nDate: now\r\n\r\n"
        );
        let own = "HTTP/1.1 200 OK\r\nX-Date: a\r\ndAtE: b\r\n\r\n";
        assert_eq!(dated(own), own);
    }

    #[test]
    fn a_status_is_read_where_there_is_a_response() {
        assert_eq!(status(b"HTTP/1.1 404 Not Found\r\n"), Some(404));
        assert_eq!(status(b""), None);
    }
}
