//! The resumable parser of heads.
//!
//! Owns the state between two calls. Each byte is examined in one call only, in order, and each
//! error is decided by the bytes up to the one that proves it; so neither the result nor the work
//! depends on how a head is split.

use alloc::vec::Vec;

use super::line::{Line, Span};
use super::syntax::{OWS, PATH, QUERY, TOKEN, skip, skip_text};
use super::{HeadLimits, Headers, HttpError, PartialHead, RequestHead, ResponseHead, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
}

/// What the next byte belongs to. States ending in `Lf` have seen a CR.
#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    EmptyLineLf,
    Method,
    Target,
    Query,
    Version,
    VersionEnd,
    Status,
    StatusEnd,
    Reason,
    StartLineLf,
    LineStart,
    Name,
    ValueStart,
    Value,
    ValueLf,
    EndLf,
    Complete,
    Failed(HttpError),
}

/// A parser of one request head or one response head.
///
/// Fed with [`parse`](Self::parse), again and again with all the bytes received so far, until it
/// returns a length or an error; then [`request_head`](Self::request_head) or
/// [`response_head`](Self::response_head) shows the result. It keeps positions only, in one
/// allocation that is made at the first header line.
///
/// Strict: lines end in CR LF, one space separates the parts of a request line, there is no line
/// folding, no space before a colon, no control byte but a tab within a value. Of the leniencies
/// RFC 9112 offers, two are taken: one empty line before a request line (section 2.2), and a
/// missing space before an empty reason phrase, which many servers leave out.
#[derive(Clone, Debug)]
pub struct HeadParser {
    limits: HeadLimits,
    kind: Kind,
    state: State,
    /// The bytes before this offset have been examined, and are not again.
    searched: usize,
    /// The offset at which the current part begins.
    mark: usize,
    method: Span,
    /// The target of a request, the reason of a response.
    target_or_reason: Span,
    major: u8,
    version: Version,
    status: u16,
    /// The header line that is being read.
    line: Line,
    lines: Vec<Line>,
}

/// A browser's opening handshake has about 15 header lines; this holds them in one allocation of
/// 256 bytes.
const USUAL_LINES: usize = 16;

impl HeadParser {
    /// A parser for a request head.
    #[must_use]
    pub fn request(limits: HeadLimits) -> Self {
        Self::new(Kind::Request, limits)
    }

    /// A parser for a response head. [`HeadLimits::max_target`] is not used.
    #[must_use]
    pub fn response(limits: HeadLimits) -> Self {
        Self::new(Kind::Response, limits)
    }

    fn new(kind: Kind, limits: HeadLimits) -> Self {
        let max_head = limits.max_head.min(u32::MAX as usize);
        Self {
            limits: HeadLimits { max_head, ..limits },
            kind,
            state: State::Start,
            searched: 0,
            mark: 0,
            method: Span::default(),
            target_or_reason: Span::default(),
            major: 0,
            version: Version::Http11,
            status: 0,
            line: Line::default(),
            lines: Vec::new(),
        }
    }

    /// Makes the parser ready for another head of the same kind and limits. Keeps its storage.
    pub fn reset(&mut self) {
        let mut lines = core::mem::take(&mut self.lines);
        lines.clear();
        *self = Self {
            lines,
            ..Self::new(self.kind, self.limits)
        };
    }

    /// Continues parsing. `head` is all that was received so far, from the first byte of the head:
    /// each call passes the bytes of the call before, unchanged, and more behind them.
    ///
    /// `Some(n)`: the head is complete; its last byte is `head[n - 1]`, and `head[n..]` is not
    /// part of it. `None`: the head is not complete. Result and error stay: further calls return
    /// them again.
    ///
    /// Takes time in the number of bytes that were not there in the call before.
    ///
    /// # Errors
    /// At the first byte that proves that the head is malformed or over a limit; see
    /// [`HttpError`]. Bytes behind that one do not change the error.
    pub fn parse(&mut self, head: &[u8]) -> Result<Option<usize>, HttpError> {
        let allowed = self.within_limit(head);
        let result = match self.state {
            State::Complete => return Ok(Some(self.searched)),
            State::Failed(error) => return Err(error),
            _ => self.advance(allowed),
        };
        match result {
            Ok(()) if matches!(self.state, State::Complete) => Ok(Some(self.searched)),
            Ok(()) if allowed.len() == head.len() => Ok(None),
            Ok(()) => Err(self.fail(HttpError::HeadTooLarge)),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&mut self, error: HttpError) -> HttpError {
        self.state = State::Failed(error);
        error
    }

    /// The request, once [`parse`](Self::parse) has returned a length; None before that, after an
    /// error, and for a response. `head` is what was passed to `parse`; bytes behind the head do
    /// not matter.
    #[must_use]
    pub fn request_head<'a>(&'a self, head: &'a [u8]) -> Option<RequestHead<'a>> {
        Some(RequestHead {
            headers: self.headers(Kind::Request, head)?,
            method: self.method.str_of(head),
            target: self.target_or_reason.str_of(head),
            version: self.version,
        })
    }

    /// A request as far as it was parsed, also before the end of its head and after an error. `head`
    /// as for [`request_head`](Self::request_head).
    #[must_use]
    pub fn partial_request<'a>(&'a self, head: &'a [u8]) -> PartialHead<'a> {
        let target = self.target_or_reason.str_of(head);
        PartialHead {
            target: (!target.is_empty()).then_some(target),
            headers: Headers::new(head, &self.lines),
        }
    }

    /// Returns the part of `head` within the limit: no parsed part goes beyond.
    pub(in crate::proto) fn within_limit<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[..head.len().min(self.limits.max_head)]
    }

    /// The response, once [`parse`](Self::parse) has returned a length; None before that, after
    /// an error, and for a request. `head` as for [`request_head`](Self::request_head).
    #[must_use]
    pub fn response_head<'a>(&'a self, head: &'a [u8]) -> Option<ResponseHead<'a>> {
        Some(ResponseHead {
            headers: self.headers(Kind::Response, head)?,
            version: self.version,
            status: self.status,
            reason: self.target_or_reason.of(head),
        })
    }

    fn headers<'a>(&'a self, kind: Kind, head: &'a [u8]) -> Option<Headers<'a>> {
        let complete = matches!(self.state, State::Complete) && self.searched <= head.len();
        (complete && kind == self.kind).then(|| Headers::new(head, &self.lines))
    }

    /// Reads `bytes[searched..]`, up to the end of the head.
    fn advance(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        let mut at = self.searched;
        let mut state = self.state;
        while at < bytes.len() {
            // Each arm reads one part of the head as far as it is there and returns what follows
            // it; `break` leaves the state as it is, for the next call.
            state = match state {
                State::Start => {
                    self.mark = at;
                    match (self.kind, bytes[at]) {
                        // RFC 9112 section 2.2: a server should ignore at least one empty line
                        // before the request line.
                        (Kind::Request, b'\r') if at == 0 => {
                            at += 1;
                            State::EmptyLineLf
                        }
                        (Kind::Request, _) => State::Method,
                        (Kind::Response, _) => State::Version,
                    }
                }
                State::EmptyLineLf => {
                    line_feed(bytes, &mut at)?;
                    State::Start
                }
                // RFC 9112 section 3: method SP request-target SP HTTP-version.
                State::Method => {
                    at = skip(bytes, at, TOKEN);
                    match bytes.get(at) {
                        None => break,
                        Some(b' ') if at > self.mark => self.method = self.end_part(&mut at),
                        Some(&byte) => return Err(request_line_fault(byte, HttpError::Method)),
                    }
                    State::Target
                }
                State::Target | State::Query => {
                    let query = matches!(state, State::Query);
                    at = skip(bytes, at, if query { QUERY } else { PATH });
                    if at - self.mark > self.limits.max_target {
                        return Err(HttpError::TargetTooLong);
                    }
                    match bytes.get(at) {
                        None => {
                            state = if query { State::Query } else { State::Target };
                            break;
                        }
                        Some(b'?') => State::Query,
                        Some(b' ') if at > self.mark => {
                            self.target_or_reason = self.end_part(&mut at);
                            State::Version
                        }
                        Some(&byte) => return Err(request_line_fault(byte, HttpError::Target)),
                    }
                }
                State::Version => {
                    if at == self.mark && bytes[at..].starts_with(b"HTTP/1.1") {
                        at += 8;
                        State::VersionEnd
                    } else {
                        let state = self.version_byte(at - self.mark, bytes[at])?;
                        at += 1;
                        state
                    }
                }
                State::VersionEnd => {
                    let byte = bytes[at];
                    at += 1;
                    self.mark = at;
                    match (self.kind, byte) {
                        (_, b'\n') => return Err(HttpError::BareLf),
                        (Kind::Request, b'\r') => State::StartLineLf,
                        (Kind::Response, b' ') => State::Status,
                        (Kind::Request, _) => return Err(HttpError::Version),
                        (Kind::Response, _) => return Err(HttpError::StatusLine),
                    }
                }
                // RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ].
                State::Status => {
                    let digit = bytes[at];
                    // RFC 9110 section 15: the first digit is the class, from 1 on.
                    if !digit.is_ascii_digit() || (self.status == 0 && digit == b'0') {
                        return Err(HttpError::StatusLine);
                    }
                    self.status = self.status * 10 + u16::from(digit - b'0');
                    at += 1;
                    if self.status < 100 {
                        State::Status
                    } else {
                        State::StatusEnd
                    }
                }
                State::StatusEnd => match bytes[at] {
                    b' ' => {
                        at += 1;
                        self.mark = at;
                        State::Reason
                    }
                    b'\r' => {
                        self.mark = at;
                        State::Reason
                    }
                    b'\n' => return Err(HttpError::BareLf),
                    _ => return Err(HttpError::StatusLine),
                },
                State::Reason => {
                    at = skip_text(bytes, at);
                    match bytes.get(at) {
                        None => break,
                        Some(b'\r') => self.target_or_reason = self.end_part(&mut at),
                        Some(b'\n') => return Err(HttpError::BareLf),
                        Some(_) => return Err(HttpError::StatusLine),
                    }
                    State::StartLineLf
                }
                State::StartLineLf => {
                    line_feed(bytes, &mut at)?;
                    State::LineStart
                }
                State::LineStart => match bytes[at] {
                    b'\r' => {
                        at += 1;
                        State::EndLf
                    }
                    b'\n' => return Err(HttpError::BareLf),
                    // RFC 9112 section 5.2: a server rejects obs-fold with 400; section 2.2: and
                    // also white space before the first header line.
                    b' ' | b'\t' => return Err(HttpError::ObsFold),
                    _ if self.lines.len() >= self.limits.max_lines => {
                        return Err(HttpError::TooManyLines);
                    }
                    _ => {
                        self.mark = at;
                        State::Name
                    }
                },
                State::Name => {
                    at = skip(bytes, at, TOKEN);
                    match bytes.get(at) {
                        None => break,
                        Some(b':') if at > self.mark => self.line.name = self.end_part(&mut at),
                        // RFC 9112 section 5.1: no white space between name and colon; such a
                        // request is rejected with 400.
                        Some(b' ' | b'\t') => return Err(HttpError::SpaceBeforeColon),
                        Some(b'\r') => return Err(HttpError::MissingColon),
                        Some(b'\n') => return Err(HttpError::BareLf),
                        Some(_) => return Err(HttpError::HeaderName),
                    }
                    State::ValueStart
                }
                State::ValueStart => {
                    at = skip(bytes, at, OWS);
                    if at == bytes.len() {
                        break;
                    }
                    self.line.value = Span::new(at, at);
                    State::Value
                }
                State::Value => {
                    let start = at;
                    at = skip_text(bytes, at);
                    // Trimming looks at new bytes only: the end moves on if they are not all
                    // white space.
                    let text = &bytes[start..at];
                    if let Some(last) = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'))
                    {
                        self.line.value.extend_to(start + last + 1);
                    }
                    match bytes.get(at) {
                        None => break,
                        Some(b'\r') => at += 1,
                        Some(b'\n') => return Err(HttpError::BareLf),
                        // RFC 9110 section 5.5: CR, LF and NUL are dangerous, other control bytes
                        // invalid.
                        Some(_) => return Err(HttpError::HeaderValue),
                    }
                    State::ValueLf
                }
                State::ValueLf => {
                    line_feed(bytes, &mut at)?;
                    if self.lines.capacity() == 0 {
                        self.lines
                            .reserve_exact(USUAL_LINES.min(self.limits.max_lines));
                    }
                    self.lines.push(self.line);
                    State::LineStart
                }
                State::EndLf => {
                    line_feed(bytes, &mut at)?;
                    state = State::Complete;
                    break;
                }
                // `parse` doesn't call this in these states.
                State::Complete | State::Failed(_) => break,
            };
        }
        self.searched = at;
        self.state = state;
        Ok(())
    }

    /// Ends the part that began at the mark, steps over the byte behind it, and sets the mark.
    fn end_part(&mut self, at: &mut usize) -> Span {
        let part = Span::new(self.mark, *at);
        *at += 1;
        self.mark = *at;
        part
    }

    /// RFC 9112 section 2.3: "HTTP" "/" DIGIT "." DIGIT, case-sensitive.
    fn version_byte(&mut self, index: usize, byte: u8) -> Result<State, HttpError> {
        match (index, byte) {
            (0..5, _) if byte == b"HTTP/"[index] => Ok(State::Version),
            (5, b'0'..=b'9') => {
                self.major = byte;
                Ok(State::Version)
            }
            (6, b'.') => Ok(State::Version),
            (7, b'0'..=b'9') if self.major == b'1' => {
                // RFC 9110 section 2.5: a higher minor version is processed as the highest one
                // known.
                self.version = if byte == b'0' {
                    Version::Http10
                } else {
                    Version::Http11
                };
                Ok(State::VersionEnd)
            }
            (7, b'0'..=b'9') => Err(HttpError::UnsupportedVersion),
            (_, b'\n') => Err(HttpError::BareLf),
            (0, b' ' | b'\r') if self.kind == Kind::Request => Err(HttpError::RequestLine),
            _ => Err(HttpError::Version),
        }
    }
}

/// RFC 9112 section 2.2 lets a recipient accept a bare LF as a line end. Peers that disagree on
/// line ends make request smuggling possible, so this parser doesn't.
fn line_feed(bytes: &[u8], at: &mut usize) -> Result<(), HttpError> {
    if bytes[*at] != b'\n' {
        return Err(HttpError::BareCr);
    }
    *at += 1;
    Ok(())
}

/// The error for a byte that ends the method or target too early, or is not allowed in it.
fn request_line_fault(byte: u8, part: HttpError) -> HttpError {
    match byte {
        b'\n' => HttpError::BareLf,
        b'\r' | b' ' => HttpError::RequestLine,
        _ => part,
    }
}
