//! What a request gets of a file: by its conditions (RFC 9110 section 13) and its range (section 14).

use std::boxed::Box;
use std::format;
use std::string::String;
use std::time::{SystemTime, UNIX_EPOCH};

use super::whole_seconds;
use crate::proto::http::Headers;
use crate::server::http::request::Request;

/// The headers that what is sent depends on.
#[derive(Default)]
pub(super) struct Conditions {
    head: bool,
    if_match: Option<Box<str>>,
    if_none_match: Option<Box<str>>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
    if_range: Option<Box<str>>,
    range: Option<Box<str>>,
}

/// What distinguishes a file from what it was before.
pub(super) struct Validators {
    pub(super) etag: String,
    /// In whole seconds.
    pub(super) modified: Option<SystemTime>,
}

pub(super) struct Content {
    pub(super) length: u64,
    /// The most bytes of a response.
    pub(super) max: u64,
    pub(super) validators: Validators,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    Whole,
    Range {
        from: u64,
        /// At least one.
        length: u64,
    },
    NotModified,
    /// The range begins behind the end.
    Unsatisfiable,
    /// A precondition doesn't hold.
    Failed,
    TooLong,
}

impl Validators {
    pub(super) fn new(length: u64, modified: Option<SystemTime>) -> Self {
        let since = modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        let nanos = since.unwrap_or_default().as_nanos();
        Self {
            etag: format!("\"{nanos:x}-{length:x}\""),
            modified: modified.map(whole_seconds),
        }
    }

    /// RFC 9110 section 8.8.3.2; ours are strong, so a weak one is equal in the weak comparison only.
    fn is_among(&self, list: &str, weakly: bool) -> bool {
        if list.trim() == "*" {
            return true;
        }
        let mut rest = list;
        // entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE, and a comma may be within the quotes.
        while let Some((before, after)) = rest.split_once('"') {
            let Some((tag, behind)) = after.split_once('"') else {
                return false;
            };
            let weak = before.trim_end().ends_with("W/");
            if (weakly || !weak) && self.etag.trim_matches('"') == tag {
                return true;
            }
            rest = behind;
        }
        false
    }
}

impl Conditions {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let headers = request.headers();
        let date = |name| httpdate::parse_http_date(&one(headers, name)?).ok();
        Self {
            head: request.method() == "HEAD",
            if_match: all(headers, "if-match"),
            if_none_match: all(headers, "if-none-match"),
            if_modified_since: date("if-modified-since"),
            if_unmodified_since: date("if-unmodified-since"),
            // One that can't be read equals nothing.
            if_range: headers
                .get("if-range")
                .map(|_| one(headers, "if-range").unwrap_or_default()),
            range: one(headers, "range"),
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.head
    }

    /// RFC 9110 section 13.2.2: the order in which preconditions count.
    pub(super) fn select(&self, content: &Content) -> Selected {
        let validators = &content.validators;
        let since = |time: SystemTime| validators.modified.is_none_or(|it| it > time);
        let fails = match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) => !validators.is_among(list, false),
            (None, Some(time)) => since(time),
            (None, None) => false,
        };
        if fails {
            return Selected::Failed;
        }
        let has_it = match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) => validators.is_among(list, true),
            (None, Some(time)) => !since(time),
            (None, None) => false,
        };
        if has_it {
            return Selected::NotModified;
        }
        // RFC 9110 section 14.2: a range is defined for GET only.
        match &self.range {
            Some(range) if !self.head && self.is_same(validators) => {
                range_of(range, content).unwrap_or_else(|| whole(content))
            }
            _ if self.head => Selected::Whole,
            _ => whole(content),
        }
    }

    /// RFC 9110 section 13.1.5: whether the range is of the file that the client has a part of.
    fn is_same(&self, validators: &Validators) -> bool {
        match &self.if_range {
            None => true,
            Some(tag) if tag.starts_with('"') => **tag == *validators.etag,
            // A weak tag, which never suffices, is no date either.
            Some(date) => {
                let date = httpdate::parse_http_date(date).ok();
                date.is_some() && date == validators.modified
            }
        }
    }
}

fn whole(content: &Content) -> Selected {
    match content.length <= content.max {
        true => Selected::Whole,
        false => Selected::TooLong,
    }
}

/// RFC 9110 section 14.1.2. None for several ranges, and for what is no range of bytes, which may and
/// must be passed over.
fn range_of(range: &str, content: &Content) -> Option<Selected> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let (from, behind) = match (first, last) {
        ("", last) => {
            let count = number(last)?.min(content.length);
            (content.length - count, content.length)
        }
        (first, "") => (number(first)?, content.length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(content.length))
        }
    };
    if from >= behind {
        return Some(Selected::Unsatisfiable);
    }
    // RFC 9110 section 15.3.7: a 206 may have less than was asked for, and says what it has.
    let length = (behind - from).min(content.max);
    match length {
        0 => None,
        length => Some(Selected::Range { from, length }),
    }
}

/// Reads digits; a number beyond all files is one.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The header, if there is one of this name.
fn one(headers: Headers<'_>, name: &str) -> Option<Box<str>> {
    let mut all = headers.get_all(name);
    let value = str::from_utf8(all.next()?).ok()?;
    all.next().is_none().then(|| value.trim().into())
}

/// The headers of this name, which are one list.
fn all(headers: Headers<'_>, name: &str) -> Option<Box<str>> {
    let texts = headers.get_all(name).map(String::from_utf8_lossy);
    texts
        .map(String::from)
        .reduce(|list, next| format!("{list}, {next}"))
        .map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MODIFIED: u64 = 1_000_000;

    /// A file of 100 bytes of which a response has at most 40.
    fn content(max: u64) -> Content {
        let modified = UNIX_EPOCH + Duration::from_millis(MODIFIED * 1000 + 500);
        Content {
            length: 100,
            max,
            validators: Validators::new(100, Some(modified)),
        }
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn range(range: &str) -> Selected {
        let conditions = Conditions {
            range: Some(range.into()),
            ..Conditions::default()
        };
        conditions.select(&content(100))
    }

    #[test]
    fn a_single_range_is_cut_to_the_file_and_others_are_passed_over() {
        let part = |from, length| Selected::Range { from, length };
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=90-", part(90, 10)),
            ("bytes=90-200", part(90, 10)),
            ("bytes=-10", part(90, 10)),
            ("bytes=-200", part(0, 100)),
            ("BYTES=0-99", part(0, 100)),
            ("bytes=99-18446744073709551616", part(99, 1)),
            ("bytes=100-", Selected::Unsatisfiable),
            ("bytes=18446744073709551616-", Selected::Unsatisfiable),
            ("bytes=-0", Selected::Unsatisfiable),
            ("bytes=2-1", Selected::Whole),
            ("bytes=0-1,3-4", Selected::Whole),
            ("bytes=-", Selected::Whole),
            ("bytes=a-b", Selected::Whole),
            ("bytes=+1-2", Selected::Whole),
            ("bytes", Selected::Whole),
            ("lines=0-1", Selected::Whole),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_file_is_had_in_parts_only() {
        let long = content(40);
        let select = |conditions: Conditions| conditions.select(&long);
        assert_eq!(select(Conditions::default()), Selected::TooLong);
        let head = Conditions {
            head: true,
            range: Some("bytes=0-".into()),
            ..Conditions::default()
        };
        assert_eq!(select(head), Selected::Whole);
        let part = Conditions {
            range: Some("bytes=10-".into()),
            ..Conditions::default()
        };
        let expected = Selected::Range {
            from: 10,
            length: 40,
        };
        assert_eq!(select(part), expected);
    }

    #[test]
    fn conditions_count_in_their_order() {
        let content = content(100);
        let etag = &content.validators.etag;
        let (weak, list) = (format!("W/{etag}"), format!("\"a,b\" , {etag}"));
        let text = |text: &str| Some(text.into());
        let default = Conditions::default;
        for (conditions, expected) in [
            (
                Conditions {
                    if_none_match: text(etag),
                    ..default()
                },
                Selected::NotModified,
            ),
            (
                Conditions {
                    if_none_match: text(&weak),
                    ..default()
                },
                Selected::NotModified,
            ),
            (
                Conditions {
                    if_none_match: text(&list),
                    ..default()
                },
                Selected::NotModified,
            ),
            (
                Conditions {
                    if_none_match: text("*"),
                    ..default()
                },
                Selected::NotModified,
            ),
            (
                Conditions {
                    if_none_match: text("\"other\""),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_none_match: text("\"open"),
                    ..default()
                },
                Selected::Whole,
            ),
            // The date is passed over where there is a tag.
            (
                Conditions {
                    if_none_match: text("\"other\""),
                    if_modified_since: at(MODIFIED),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_modified_since: at(MODIFIED),
                    ..default()
                },
                Selected::NotModified,
            ),
            (
                Conditions {
                    if_modified_since: at(MODIFIED - 1),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_match: text(etag),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_match: text("*"),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_match: text(&weak),
                    ..default()
                },
                Selected::Failed,
            ),
            (
                Conditions {
                    if_match: text("\"other\""),
                    ..default()
                },
                Selected::Failed,
            ),
            (
                Conditions {
                    if_unmodified_since: at(MODIFIED),
                    ..default()
                },
                Selected::Whole,
            ),
            (
                Conditions {
                    if_unmodified_since: at(MODIFIED - 1),
                    ..default()
                },
                Selected::Failed,
            ),
        ] {
            assert_eq!(conditions.select(&content), expected);
        }
        let part = Selected::Range {
            from: 1,
            length: 99,
        };
        let since = httpdate::fmt_http_date(at(MODIFIED).unwrap());
        let earlier = httpdate::fmt_http_date(at(MODIFIED - 1).unwrap());
        for (if_range, expected) in [
            (etag.as_str(), part),
            (since.as_str(), part),
            (weak.as_str(), Selected::Whole),
            ("\"other\"", Selected::Whole),
            (earlier.as_str(), Selected::Whole),
            ("", Selected::Whole),
        ] {
            let conditions = Conditions {
                range: text("bytes=1-"),
                if_range: text(if_range),
                ..default()
            };
            assert_eq!(conditions.select(&content), expected, "{if_range}");
        }
    }

    #[test]
    fn a_file_that_changes_has_another_tag() {
        let tag = |length, nanos| {
            let modified = UNIX_EPOCH + Duration::from_nanos(nanos);
            Validators::new(length, Some(modified)).etag
        };
        assert_eq!(tag(1, 2), tag(1, 2));
        assert_ne!(tag(1, 2), tag(2, 2));
        assert_ne!(tag(1, 2), tag(1, 3));
    }
}
