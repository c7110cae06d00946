//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).
//!
//! Owns: reading the header into offers (or, on the client's side, responses) and their
//! parameters, and writing them. Leaves to negotiation: what names and parameters mean, which
//! values are in range, what a repeated parameter does; so nothing here is dropped, merged or
//! reordered.
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = token *( ";" extension-param )
//! extension-param = token [ "=" (token | quoted-string) ]
//! ```
//! with white space allowed between any two parts (the "implied *LWS rule" of RFC 2616, which
//! section 9.1 invokes) and empty list elements ignored (RFC 9110 section 5.6.1.2). A header with
//! nothing but empty elements yields nothing, and no error: it asks for nothing.
//!
//! # On malformed input
//! A header that breaks the grammar is not an offer to decline: "the recipient of such malformed
//! data MUST immediately _Fail the WebSocket Connection_" (section 9.1). A server answers 400 in
//! place of 101, a client fails the connection. An extension or parameter that is well formed and
//! unknown or out of range is for negotiation to decline (server) or to fail on (client).

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::proto::http::{TOKEN, is_class, is_token, skip};

/// The extensions in one or several lines of `Sec-WebSocket-Extensions`, in order; several lines
/// are one list (RFC 6455 section 9.1).
///
/// Lazy, with memory for nothing but a position, and linear in the bytes of the lines. After an
/// error, which is about the place reached, there are no more items.
///
/// ```
/// use sockeye::proto::parse_extensions;
///
/// let lines: [&[u8]; 2] = [b"permessage-deflate; client_max_window_bits", b"x; y=\"10\""];
/// let offers: Result<Vec<_>, _> = parse_extensions(lines).collect();
/// let offers = offers?;
/// assert_eq!(offers[0].name(), "permessage-deflate");
/// let y = offers[1].params().next().unwrap();
/// assert_eq!((y.name, y.value.as_deref()), ("y", Some("10")));
/// # Ok::<(), sockeye::error::GrammarError>(())
/// ```
pub fn parse_extensions<'a, I>(lines: I) -> ExtensionOffers<'a, I::IntoIter>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    ExtensionOffers {
        lines: Some(lines.into_iter()),
        cursor: Cursor::new(&[]),
    }
}

/// The iterator of [`parse_extensions`].
#[derive(Clone, Debug)]
pub struct ExtensionOffers<'a, I> {
    /// None after the end or an error.
    lines: Option<I>,
    cursor: Cursor<'a>,
}

impl<'a, I> Iterator for ExtensionOffers<'a, I>
where
    I: Iterator<Item = &'a [u8]>,
{
    type Item = Result<ExtensionOffer<'a>, GrammarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let lines = self.lines.as_mut()?;
        loop {
            self.cursor.skip_white_space();
            match self.cursor.peek() {
                // RFC 9110 section 5.6.1.2: a recipient ignores empty list elements.
                Some(b',') => self.cursor.bump(),
                Some(_) => break,
                None => match lines.next() {
                    Some(line) => self.cursor.next_line(line),
                    None => {
                        self.lines = None;
                        return None;
                    }
                },
            }
        }
        let offer = self.cursor.extension();
        if offer.is_err() {
            self.lines = None;
        }
        Some(offer)
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> core::iter::FusedIterator for ExtensionOffers<'a, I> {}

/// One element of the list: an extension a client offers, or one a server has accepted.
///
/// Well formed; borrows the header line.
#[derive(Clone, Copy)]
pub struct ExtensionOffer<'a> {
    name: &'a str,
    /// The rest of the element behind the name, which has been parsed once without error.
    params: &'a [u8],
}

impl<'a> ExtensionOffer<'a> {
    /// The extension's name, a token in the case it was sent in.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The parameters in order, repeated ones included. Parses them anew, in linear time.
    #[must_use]
    pub fn params(&self) -> ExtensionParams<'a> {
        ExtensionParams {
            cursor: Cursor::new(self.params),
        }
    }
}

/// The iterator of [`ExtensionOffer::params`].
#[derive(Clone, Debug)]
pub struct ExtensionParams<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for ExtensionParams<'a> {
    type Item = ExtensionParam<'a>;

    fn next(&mut self) -> Option<ExtensionParam<'a>> {
        // No error occurs: these bytes have been parsed before.
        let param = self.cursor.param().ok()??;
        Some(ExtensionParam {
            name: param.name,
            value: param.value.map(RawValue::unescape),
        })
    }
}

/// A parameter of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionParam<'a> {
    /// The name, a token.
    pub name: &'a str,
    /// The value, a token without quotes or escapes (`"10"` is `10`); None for a flag. Borrowed
    /// unless there were escapes.
    pub value: Option<Cow<'a, str>>,
}

impl fmt::Debug for ExtensionOffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionOffer({self})")
    }
}

/// The form that [`Extension`] writes: `name; flag; key=value`.
impl fmt::Display for ExtensionOffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.params()
            .try_for_each(|param| write_param(f, param.name, param.value.as_deref()))
    }
}

/// An extension to send, as an offer or as a response. Its `Display` is the form on the wire;
/// several are joined by a comma.
///
/// ```
/// use sockeye::proto::Extension;
///
/// let response = Extension::new("permessage-deflate")
///     .with_flag("server_no_context_takeover")
///     .with_value("server_max_window_bits", 10);
/// assert_eq!(
///     response.to_string(),
///     "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

impl Extension {
    /// An extension without parameters, whose name is a constant.
    ///
    /// # Panics
    /// When `name` is not a token.
    #[must_use]
    #[track_caller]
    pub fn new(name: &'static str) -> Self {
        Self::try_new(name).unwrap_or_else(|error| refused(name, error))
    }

    /// Adds a parameter without a value, after the existing ones.
    ///
    /// # Panics
    /// When `name` is not a token.
    #[must_use]
    #[track_caller]
    pub fn with_flag(self, name: &'static str) -> Self {
        self.try_with_flag(name)
            .unwrap_or_else(|error| refused(name, error))
    }

    /// Adds a parameter with a value, such as a number, after the existing ones.
    ///
    /// # Panics
    /// When `name`, or the value as it is displayed, is not a token.
    #[must_use]
    #[track_caller]
    pub fn with_value(self, name: &'static str, value: impl fmt::Display) -> Self {
        self.try_with_value(name, &value.to_string())
            .unwrap_or_else(|error| refused(name, error))
    }

    /// Like [`new`](Self::new), for a name that is not a constant.
    ///
    /// # Errors
    /// [`GrammarError::Name`] if `name` is not a token.
    pub fn try_new(name: &str) -> Result<Self, GrammarError> {
        Ok(Self {
            name: token(name, GrammarError::Name)?,
            params: Vec::new(),
        })
    }

    /// Like [`with_flag`](Self::with_flag), for a name that is not a constant.
    ///
    /// # Errors
    /// [`GrammarError::ParameterName`] if `name` is not a token.
    pub fn try_with_flag(mut self, name: &str) -> Result<Self, GrammarError> {
        let name = token(name, GrammarError::ParameterName)?;
        self.params.push((name, None));
        Ok(self)
    }

    /// Like [`with_value`](Self::with_value), for a name or value that is not a constant.
    ///
    /// # Errors
    /// [`GrammarError::ParameterName`], [`GrammarError::ParameterValue`] if `name` or `value` is
    /// not a token.
    pub fn try_with_value(mut self, name: &str, value: &str) -> Result<Self, GrammarError> {
        let name = token(name, GrammarError::ParameterName)?;
        let value = token(value, GrammarError::ParameterValue)?;
        self.params.push((name, Some(value)));
        Ok(self)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in order; the value of a flag is None.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> + Clone {
        self.params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

#[track_caller]
fn refused(name: &str, error: GrammarError) -> ! {
    panic!("{name:?}: {error}")
}

fn token(text: &str, error: GrammarError) -> Result<String, GrammarError> {
    if is_token(text.as_bytes()) {
        Ok(text.to_string())
    } else {
        Err(error)
    }
}

impl From<ExtensionOffer<'_>> for Extension {
    fn from(offer: ExtensionOffer<'_>) -> Self {
        let owned = |param: ExtensionParam<'_>| {
            let value = param.value.map(Cow::into_owned);
            (param.name.to_string(), value)
        };
        Self {
            name: offer.name.to_string(),
            params: offer.params().map(owned).collect(),
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.params()
            .try_for_each(|(name, value)| write_param(f, name, value))
    }
}

/// Values are tokens, so that none needs quotes.
fn write_param(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "; {name}={value}"),
        None => write!(f, "; {name}"),
    }
}

/// A value as it is in the line, without its quotes.
struct RawValue<'a> {
    text: &'a str,
    escaped: bool,
}

impl<'a> RawValue<'a> {
    fn unescape(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.text);
        }
        // A token has no backslash, so each one here is an escape.
        Cow::Owned(self.text.chars().filter(|&char| char != '\\').collect())
    }
}

struct RawParam<'a> {
    name: &'a str,
    value: Option<RawValue<'a>>,
}

/// A position in a line. It only moves forward, and looks at most one byte ahead.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    /// The number of bytes examined, to test that the work is linear.
    #[cfg(test)]
    work: core::cell::Cell<usize>,
}

impl<'a> Cursor<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self {
            line,
            at: 0,
            #[cfg(test)]
            work: core::cell::Cell::new(0),
        }
    }

    fn next_line(&mut self, line: &'a [u8]) {
        self.line = line;
        self.at = 0;
    }

    #[cfg(test)]
    fn count(&self, looked_at: usize) {
        self.work.set(self.work.get() + looked_at);
    }

    #[cfg(not(test))]
    fn count(&self, _: usize) {}

    fn peek(&self) -> Option<u8> {
        self.count(1);
        self.line.get(self.at).copied()
    }

    fn bump(&mut self) {
        self.at += 1;
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.bump();
        }
    }

    fn token(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at = skip(self.line, self.at, TOKEN);
        self.count(self.at - start + 1);
        self.text(start).filter(|token| !token.is_empty())
    }

    /// Returns the bytes from `start` up to this position.
    fn text(&self, start: usize) -> Option<&'a str> {
        core::str::from_utf8(self.line.get(start..self.at)?).ok()
    }

    /// Parses one list element. On success the position is at the comma behind it, or at the end.
    fn extension(&mut self) -> Result<ExtensionOffer<'a>, GrammarError> {
        let name = self.token().ok_or(GrammarError::Name)?;
        let start = self.at;
        while self.param()?.is_some() {}
        Ok(ExtensionOffer {
            name,
            params: &self.line[start..self.at],
        })
    }

    /// Parses the next parameter; None if the element ends here.
    fn param(&mut self) -> Result<Option<RawParam<'a>>, GrammarError> {
        self.skip_white_space();
        match self.peek() {
            None | Some(b',') => return Ok(None),
            Some(b';') => self.bump(),
            Some(_) => return Err(GrammarError::Separator),
        }
        self.skip_white_space();
        let name = self.token().ok_or(GrammarError::ParameterName)?;
        self.skip_white_space();
        let mut value = None;
        if self.peek() == Some(b'=') {
            self.bump();
            self.skip_white_space();
            value = Some(self.value()?);
        }
        Ok(Some(RawParam { name, value }))
    }

    fn value(&mut self) -> Result<RawValue<'a>, GrammarError> {
        if self.peek() == Some(b'"') {
            self.bump();
            return self.quoted();
        }
        let text = self.token().ok_or(GrammarError::ParameterValue)?;
        Ok(RawValue {
            text,
            escaped: false,
        })
    }

    /// Parses a quoted-string behind its first quote. RFC 6455 section 9.1: "the value after
    /// quoted-string unescaping MUST conform to the 'token' ABNF".
    fn quoted(&mut self) -> Result<RawValue<'a>, GrammarError> {
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek().ok_or(GrammarError::UnclosedQuote)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.bump();
                    // An escaped byte must be a token's byte, too.
                    match self.peek() {
                        Some(byte) if !is_class(byte, TOKEN) => {
                            return Err(GrammarError::ParameterValue);
                        }
                        _ => {}
                    }
                }
                byte if is_class(byte, TOKEN) => self.bump(),
                _ => return Err(GrammarError::ParameterValue),
            }
        }
        let text = self.text(start).filter(|text| !text.is_empty());
        self.bump();
        Ok(RawValue {
            text: text.ok_or(GrammarError::ParameterValue)?,
            escaped,
        })
    }
}

/// How a line breaks the grammar, or what can't be written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrammarError {
    /// An extension's name is empty or not a token.
    Name,
    /// A parameter's name is empty or not a token.
    ParameterName,
    /// A parameter's value is empty or not a token, be it in quotes or not.
    ParameterValue,
    /// A quoted value has no closing quote.
    UnclosedQuote,
    /// A name or value is followed by something other than `;` or `,`.
    Separator,
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "an extension's name is not a token (RFC 6455 section 9.1): \
                 name an extension at the start and behind each comma"
            }
            Self::ParameterName => {
                "an extension parameter's name is not a token (RFC 6455 section 9.1): \
                 name a parameter behind each semicolon"
            }
            Self::ParameterValue => {
                "an extension parameter's value is not a token, with or without quotes \
                 (RFC 6455 section 9.1): give it one behind =, or leave the = out"
            }
            Self::UnclosedQuote => {
                "an extension parameter's value has no closing quote (RFC 6455 section 9.1): \
                 close it, or leave the quotes out, which no value needs"
            }
            Self::Separator => {
                "an extension or parameter is followed by something other than ; or , \
                 (RFC 6455 section 9.1): separate parameters by ; and extensions by ,"
            }
        })
    }
}

impl core::error::Error for GrammarError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of bytes examined while reading all of the input, and the items found.
    fn work(input: &[u8]) -> (usize, usize) {
        let mut offers = parse_extensions([input]);
        let items = offers.by_ref().count();
        (offers.cursor.work.get(), items)
    }

    #[test]
    fn work_is_at_most_a_small_multiple_of_the_input_whatever_the_input() {
        let hostile = [
            (" ", 32_768),
            (",", 32_768),
            (", ", 32_768),
            ("a,", 10_000),
            ("a;b=\"c\" ,", 10_000),
            ("a;b=\"c\\d\"; ", 10_000),
            (";a", 10_000),
            ("a;b=\"", 10_000),
            ("\\", 10_000),
            ("a; b=\"\\c\\d", 10_000),
            ("\"", 10_000),
        ];
        let starts = ["", "a", "a;b", "a;b=", "a;b=\"", "a;b=\"\\x"];
        for (unit, times) in hostile {
            for start in starts {
                let mut input = String::from(start);
                input.push_str(&unit.repeat(times));
                input.push('x');
                let (work, _) = work(input.as_bytes());
                assert!(work <= 4 * input.len() + 8, "{start}{unit}: {work}");
            }
        }
    }

    #[test]
    fn nothing_is_read_ahead_of_the_item_asked_for() {
        let input = "a; b=1,".repeat(10_000);
        let mut offers = parse_extensions([input.as_bytes()]);
        assert!(offers.next().is_some());
        assert!(offers.cursor.work.get() < 32);
    }
}
