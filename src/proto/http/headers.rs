//! The header lines of a parsed head, and the look-ups that every reader needs.

use core::fmt;

use super::HttpError;
use super::line::Line;
use super::target::is_host;

/// The header lines of a head, in the order they were sent.
///
/// Names compare case-insensitively (RFC 9110 section 5.1). The caller decides what a repeated name
/// means; [`count`](Self::count) finds one. Look-ups take time in the number of lines, which
/// [`HeadLimits::max_lines`](super::HeadLimits::max_lines) bounds.
///
/// `Debug` shows the names only: values may be credentials.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    head: &'a [u8],
    lines: &'a [Line],
}

impl<'a> Headers<'a> {
    pub(super) fn new(head: &'a [u8], lines: &'a [Line]) -> Self {
        Self { head, lines }
    }

    /// The number of header lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no header line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, as name and value. A value is trimmed of white space (SP, HTAB) at both ends;
    /// it may be empty, and may hold bytes above 0x7f.
    #[must_use]
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter {
            head: self.head,
            lines: self.lines.iter(),
        }
    }

    /// The value of the first line of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of all lines of this name, in order.
    pub fn get_all<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let head = self.head;
        let matches = move |line: &&Line| {
            line.name.len() == name.len()
                && line.name.of(head).eq_ignore_ascii_case(name.as_bytes())
        };
        self.lines
            .iter()
            .filter(matches)
            .map(move |line| line.value.of(head))
    }

    /// The number of lines of this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.get_all(name).count()
    }

    /// The elements of a comma-separated list over all lines of this name, trimmed of white
    /// space, the empty ones left out (RFC 9110 sections 5.3 and 5.6.1). Takes one pass.
    ///
    /// For lists of tokens, such as `Connection`, `Upgrade` and `Sec-WebSocket-Protocol`: a comma
    /// in a quoted string is not treated as part of it. Elements are not checked to be tokens;
    /// [`is_token`](super::is_token) does that.
    pub fn tokens<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(trim)
            .filter(|element| !element.is_empty())
    }

    /// Whether [`tokens`](Self::tokens) of this name has `token`, in any case.
    #[must_use]
    pub fn contains_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// SP and HTAB only: `trim_ascii` would also take form feeds.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// The iterator of [`Headers::iter`].
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    head: &'a [u8],
    lines: core::slice::Iter<'a, Line>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        Some((line.name.str_of(self.head), line.value.of(self.head)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lines.size_hint()
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// The value of `Content-Length` (RFC 9110 section 8.6), in bytes; None if there is none.
///
/// Stricter than the RFC, which lets a recipient accept a repeated but equal value: peers that
/// disagree on a length can be made to disagree on where the next message begins (request
/// smuggling, RFC 9112 section 11.2).
///
/// # Errors
/// [`HttpError::ContentLength`] for anything but one line of 1 to 19 decimal digits. 19 is what
/// always fits a `u64`.
pub fn content_length(headers: Headers<'_>) -> Result<Option<u64>, HttpError> {
    let mut values = headers.get_all("content-length");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let valid = values.next().is_none()
        && matches!(value.len(), 1..=19)
        && value.iter().all(u8::is_ascii_digit);
    if !valid {
        return Err(HttpError::ContentLength);
    }
    let length = value
        .iter()
        .fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
    Ok(Some(length))
}

/// The value of `Host`, which an HTTP/1.1 request has exactly once (RFC 9112 section 3.2);
/// [`is_host`] says what is valid.
///
/// # Errors
/// [`HttpError::HostMissing`], [`HttpError::HostRepeated`], [`HttpError::HostInvalid`].
pub fn host(headers: Headers<'_>) -> Result<&str, HttpError> {
    let mut values = headers.get_all("host");
    let value = values.next().ok_or(HttpError::HostMissing)?;
    if values.next().is_some() {
        return Err(HttpError::HostRepeated);
    }
    core::str::from_utf8(value)
        .ok()
        .filter(|value| is_host(value.as_bytes()))
        .ok_or(HttpError::HostInvalid)
}
