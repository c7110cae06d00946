//! The body of a request (RFC 9112 sections 6 and 7): where it ends, and its bytes.
//!
//! Owns: which body a head announces, the chunked coding, the limits, the bytes so far. Leaves to
//! the opening handshake: when a body is wanted, its deadline, `100 Continue` and the answer to a
//! fault. Leaves to the caller: everything behind the body.

use alloc::vec::Vec;
use core::fmt;

use super::syntax::{TEXT, TOKEN, is_class};
use super::{Headers, HttpError, Version, content_length};
use crate::proto::input::Input;

/// Digits of a chunk's size. 16 are 64 bits; leading zeros count, or they would be unbounded.
const MAX_SIZE_DIGITS: u8 = 16;

/// Bytes of chunk extensions in one body. Hardly any client sends any; the best known use, a
/// signature of some 80 bytes on each chunk, fits fifty times.
const MAX_EXTENSIONS: usize = 4 * 1024;

/// Bytes of the trailer section, which is not used: a checksum, a signature and some timing take a
/// few hundred.
const MAX_TRAILERS: usize = 4 * 1024;

/// Lines of the trailer section, for the same reason.
const MAX_TRAILER_LINES: usize = 32;

/// Reads the body behind a request's head, however its bytes are split.
///
/// An input method, [`recv`](Self::recv), and a getter, [`body`](Self::body). Memory follows the
/// bytes received, never the length announced.
///
/// Strict: chunk sizes are 1 to 16 hexadecimal digits and nothing else, lines end in CR LF.
/// Chunk extensions and trailers are checked and skipped, within bounds: 4 KiB of extensions,
/// 4 KiB and 32 lines of trailers in one body.
///
/// ```
/// use sockeye::proto::Input;
/// use sockeye::proto::http::{BodyReader, HeadLimits, HeadParser, parse_request};
///
/// let bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
///     5\r\nhello\r\n0\r\n\r\nGET";
/// let mut parser = HeadParser::request(HeadLimits::default());
/// let (head, behind) = parse_request(&mut parser, bytes)?.unwrap();
/// let mut body = BodyReader::new(head.headers, head.version, 1024)?.unwrap();
/// let mut behind = behind.to_vec();
/// let mut input = Input::new(&mut behind);
/// assert!(body.recv(&mut input)?);
/// assert_eq!(body.into_body(), b"hello");
/// assert_eq!(input.as_slice(), b"GET"); // the next request
/// # Ok::<(), sockeye::proto::http::HttpError>(())
/// ```
///
/// `Debug` shows the length only: a body may hold credentials.
#[derive(Clone)]
pub struct BodyReader {
    body: Vec<u8>,
    limit: usize,
    state: State,
    /// Bytes of chunk extensions so far.
    extensions: usize,
    /// Bytes of the trailer section so far.
    trailers: usize,
    trailer_lines: usize,
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader")
            .field("length", &self.body.len())
            .field("limit", &self.limit)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What the next byte belongs to. States ending in `Lf` have seen a CR.
#[derive(Clone, Copy, Debug)]
enum State {
    /// These many bytes, then nothing more.
    Length(usize),
    Size {
        value: usize,
        digits: u8,
    },
    Extension {
        size: usize,
    },
    SizeLf {
        size: usize,
    },
    /// These many bytes, then the next chunk.
    Chunk(usize),
    ChunkCr,
    ChunkLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Complete,
    Failed(HttpError),
}

impl BodyReader {
    /// A reader of the body that `headers` announce, of at most `limit` bytes once decoded. None
    /// if there is no body.
    ///
    /// # Errors
    /// [`HttpError::BodyTooLarge`] for a `Content-Length` above the limit,
    /// [`HttpError::ContentLength`] for a malformed one, [`HttpError::BodyLength`] where the
    /// length of the body is in doubt, [`HttpError::TransferCoding`] for a coding other than
    /// `chunked`.
    pub fn new(
        headers: Headers<'_>,
        version: Version,
        limit: usize,
    ) -> Result<Option<Self>, HttpError> {
        let length = content_length(headers)?;
        let state = if headers.get("transfer-encoding").is_some() {
            check_transfer_encoding(headers, version, length)?;
            State::START_OF_CHUNK
        } else {
            match length {
                // RFC 9112 section 6.3: "If this is a request message and none of the above are
                // true, then the message body length is zero (no message body is present)."
                None | Some(0) => return Ok(None),
                Some(length) => {
                    let length = usize::try_from(length).ok();
                    let within = length.filter(|length| *length <= limit);
                    State::Length(within.ok_or(HttpError::BodyTooLarge)?)
                }
            }
        };
        Ok(Some(Self {
            body: Vec::new(),
            limit,
            state,
            extensions: 0,
            trailers: 0,
            trailer_lines: 0,
        }))
    }

    /// Consumes input up to the end of the body; returns whether the body is complete. What is left
    /// of `input` then is the next request.
    ///
    /// # Errors
    /// At the first byte that proves that the body is malformed or over a limit; see
    /// [`HttpError`]. The error sticks.
    pub fn recv(&mut self, input: &mut Input<'_>) -> Result<bool, HttpError> {
        loop {
            self.state = match self.state {
                State::Complete => return Ok(true),
                State::Failed(error) => return Err(error),
                _ if input.is_empty() => return Ok(false),
                State::Length(left) => match self.read(left, input) {
                    0 => State::Complete,
                    left => State::Length(left),
                },
                State::Chunk(left) => match self.read(left, input) {
                    0 => State::ChunkCr,
                    left => State::Chunk(left),
                },
                state => {
                    let byte = input.take(1)[0];
                    self.frame(state, byte).unwrap_or_else(State::Failed)
                }
            };
        }
    }

    /// The received part of the body, decoded.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same as owned bytes.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Copies up to `left` bytes; returns how many are still missing.
    fn read(&mut self, left: usize, input: &mut Input<'_>) -> usize {
        let count = left.min(input.len());
        self.body.extend_from_slice(input.take(count));
        left - count
    }

    /// Handles a byte that is not of the body itself.
    fn frame(&mut self, state: State, byte: u8) -> Result<State, HttpError> {
        match state {
            State::Size { value, digits } => self.size_byte(value, digits, byte),
            State::Extension { size } => self.extension_byte(size, byte),
            State::SizeLf { size } => line_feed(
                byte,
                match size {
                    0 => State::Trailer,
                    size => State::Chunk(size),
                },
            ),
            State::ChunkCr => match byte {
                b'\r' => Ok(State::ChunkLf),
                b'\n' => Err(HttpError::BareLf),
                _ => Err(HttpError::ChunkEnd),
            },
            State::ChunkLf => line_feed(byte, State::START_OF_CHUNK),
            State::Trailer
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => self.trailer_byte(state, byte),
            // `recv` doesn't call this in these states.
            State::Length(_) | State::Chunk(_) | State::Complete | State::Failed(_) => Ok(state),
        }
    }

    /// RFC 9112 section 7.1: chunk-size = 1*HEXDIG, and no white space around it.
    fn size_byte(&mut self, value: usize, digits: u8, byte: u8) -> Result<State, HttpError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == MAX_SIZE_DIGITS {
                return Err(HttpError::ChunkSize);
            }
            // RFC 9112 section 7.1: "recipients MUST anticipate potentially large hexadecimal
            // numerals and prevent parsing errors due to integer conversion overflows". More
            // digits only make it larger: the first one over the limit is proof.
            let room = self.limit - self.body.len();
            let value = value.checked_mul(16).map(|it| it + digit as usize);
            return Ok(State::Size {
                value: value
                    .filter(|value| *value <= room)
                    .ok_or(HttpError::BodyTooLarge)?,
                digits: digits + 1,
            });
        }
        match byte {
            b'\n' => Err(HttpError::BareLf),
            b'\r' if digits > 0 => Ok(State::SizeLf { size: value }),
            b';' if digits > 0 => self.extension_byte(value, byte),
            _ => Err(HttpError::ChunkSize),
        }
    }

    /// RFC 9112 section 7.1.1: "A recipient MUST ignore unrecognized chunk extensions. A server
    /// ought to limit the total length of chunk extensions received in a request".
    fn extension_byte(&mut self, size: usize, byte: u8) -> Result<State, HttpError> {
        match byte {
            b'\r' => return Ok(State::SizeLf { size }),
            b'\n' => return Err(HttpError::BareLf),
            _ if !is_class(byte, TEXT) => return Err(HttpError::ChunkSize),
            _ => self.extensions += 1,
        }
        if self.extensions > MAX_EXTENSIONS {
            return Err(HttpError::ChunkExtensionsTooLarge);
        }
        Ok(State::Extension { size })
    }

    /// RFC 9112 section 7.1: trailer-section = *( field-line CRLF ), and the CRLF that ends the
    /// body. The lines must be as a head's are, and are dropped; section 7.1.2: "A recipient that
    /// removes the chunked coding from a message MAY selectively retain or discard the received
    /// trailer fields."
    fn trailer_byte(&mut self, state: State, byte: u8) -> Result<State, HttpError> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(HttpError::TrailersTooLarge);
        }
        match (state, byte) {
            (State::TrailerLf, _) => line_feed(byte, State::Trailer),
            (State::EndLf, _) => line_feed(byte, State::Complete),
            (_, b'\n') => Err(HttpError::BareLf),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_class(byte, TEXT) => Ok(state),
            (State::TrailerValue, _) => Err(HttpError::HeaderValue),
            (State::Trailer, b'\r') => Ok(State::EndLf),
            (State::Trailer, b' ' | b'\t') => Err(HttpError::ObsFold),
            (State::Trailer, _) if is_class(byte, TOKEN) => {
                self.trailer_lines += 1;
                if self.trailer_lines > MAX_TRAILER_LINES {
                    return Err(HttpError::TrailersTooLarge);
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, b' ' | b'\t') => Err(HttpError::SpaceBeforeColon),
            (State::TrailerName, b'\r') => Err(HttpError::MissingColon),
            (State::TrailerName, _) if is_class(byte, TOKEN) => Ok(state),
            _ => Err(HttpError::HeaderName),
        }
    }
}

impl State {
    const START_OF_CHUNK: Self = Self::Size {
        value: 0,
        digits: 0,
    };
}

/// Expects the LF behind a CR; see the head's parser for why nothing else is accepted.
fn line_feed(byte: u8, next: State) -> Result<State, HttpError> {
    match byte {
        b'\n' => Ok(next),
        _ => Err(HttpError::BareCr),
    }
}

/// Whether `Transfer-Encoding` is `chunked` and nothing contradicts it.
fn check_transfer_encoding(
    headers: Headers<'_>,
    version: Version,
    length: Option<u64>,
) -> Result<(), HttpError> {
    // RFC 9112 section 6.1: "A server MAY reject a request that contains both Content-Length and
    // Transfer-Encoding"; "A server or client that receives an HTTP/1.0 message containing a
    // Transfer-Encoding header field MUST treat the message as if the framing is faulty".
    if length.is_some() || version == Version::Http10 {
        return Err(HttpError::BodyLength);
    }
    let mut values = headers.get_all("transfer-encoding");
    let chunked = |value: &[u8]| value.eq_ignore_ascii_case(b"chunked");
    if values.next().is_some_and(chunked) && values.next().is_none() {
        return Ok(());
    }
    // RFC 9112 section 6.3: "If a Transfer-Encoding header field is present in a request and the
    // chunked transfer coding is not the final encoding, [...] the server MUST respond with the
    // 400 (Bad Request) status code". Section 6.1: "A server that receives a request message with
    // a transfer coding it does not understand SHOULD respond with 501 (Not Implemented)."
    match headers.tokens("transfer-encoding").last() {
        Some(last) if chunked(last) => Err(HttpError::TransferCoding),
        _ => Err(HttpError::BodyLength),
    }
}

/// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section
/// 10.1.1).
///
/// # Errors
/// [`HttpError::Expectation`] for any other expectation, the response to which is 417.
pub fn expects_continue(headers: Headers<'_>, version: Version) -> Result<bool, HttpError> {
    // RFC 9110 section 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0
    // request MUST ignore that expectation."
    if version == Version::Http10 {
        return Ok(false);
    }
    let mut expectations = headers.tokens("expect");
    let known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    match (expectations.next(), expectations.all(known)) {
        (None, _) => Ok(false),
        (Some(first), true) if known(first) => Ok(true),
        _ => Err(HttpError::Expectation),
    }
}
