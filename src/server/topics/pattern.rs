//! Patterns that select the topics to which a setting applies.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

/// A pattern for topics, whose segments are separated by `/`.
///
/// | pattern | topics |
/// |---|---|
/// | `rooms/1` | itself |
/// | `rooms/*` | `rooms/1`, not `rooms/`, `rooms` or `rooms/1/typing` |
/// | `rooms/*/typing` | `rooms/1/typing` |
/// | `rooms/**` | `rooms/1`, `rooms/1/typing`, not `rooms/` or `rooms` |
/// | `**` | all but the empty one |
///
/// `*` stands for one segment, `**` at the end for everything that follows; either for at least one
/// byte. MQTT and NATS have the same two, as `+` `#` and `*` `>`. Matching takes one pass over the
/// topic.
///
/// ```
/// use sockeye::server::topics::TopicPattern;
///
/// let rooms = TopicPattern::new("rooms/*")?;
/// assert!(rooms.matches("rooms/1"));
/// assert!(!rooms.matches("rooms/1/typing"));
/// # Ok::<(), sockeye::server::topics::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    /// What comes before the first wildcard, or the whole pattern if it has none. Most topics that
    /// don't match differ there, so that one comparison is enough.
    start: Box<str>,
    /// The segments from the first wildcard on. None is `*`.
    segments: Box<[Option<Box<str>>]>,
    /// Whether it ends in `**`, so that anything may follow.
    open: bool,
}

impl TopicPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if a `*` is only part of a segment, or `**` isn't the last one.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = || PatternError(pattern.into());
        // The segments, fixed or `*`; and if there is no wildcard among them, the prefix that a
        // topic must have, which with `**` includes the slash before it.
        let (fixed, whole, open) = match pattern.strip_suffix("/**") {
            Some(fixed) => (fixed, &pattern[..=fixed.len()], true),
            None if pattern == "**" => ("", "", true),
            None => (pattern, pattern, false),
        };
        let Some(wild) = fixed.find('*') else {
            return Ok(Self {
                start: whole.into(),
                segments: Box::default(),
                open,
            });
        };
        let segments = fixed[wild..].split('/').map(|segment| match segment {
            "*" => Ok(None),
            fixed if fixed.contains('*') => Err(error()),
            fixed => Ok(Some(fixed.into())),
        });
        let start = &fixed[..wild];
        if !start.is_empty() && !start.ends_with('/') {
            return Err(error());
        }
        Ok(Self {
            start: start.into(),
            segments: segments.collect::<Result<_, _>>()?,
            open,
        })
    }

    /// Returns whether the pattern matches the topic.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let Some(rest) = topic.strip_prefix(&*self.start) else {
            return false;
        };
        let Some((first, others)) = self.segments.split_first() else {
            return rest.is_empty() != self.open;
        };
        let mut topic = Some(rest);
        for segment in core::iter::once(first).chain(others) {
            let Some(rest) = topic else {
                return false;
            };
            let (found, next) = match rest.split_once('/') {
                Some((found, next)) => (found, Some(next)),
                None => (rest, None),
            };
            let matches = match segment {
                Some(fixed) => **fixed == *found,
                None => !found.is_empty(),
            };
            if !matches {
                return false;
            }
            topic = next;
        }
        match topic {
            None => !self.open,
            Some(rest) => self.open && !rest.is_empty(),
        }
    }
}

/// Like [`TopicPattern::new`], for patterns from a file or the command line.
impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Self::new(pattern)
    }
}

/// The error for a text that is not a [`TopicPattern`]; it holds the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(pub Box<str>);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no topic pattern: `*` must be a whole segment, as in rooms/*, and `**` the \
             last one, as in rooms/**",
            self.0
        )
    }
}

impl core::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Matches segment by segment, by recursion.
    fn naive(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            (["**"], _) => topic.iter().any(|segment| !segment.is_empty()) || topic.len() > 1,
            (["*", pattern @ ..], [first, topic @ ..]) => {
                !first.is_empty() && naive(pattern, topic)
            }
            ([fixed, pattern @ ..], [first, topic @ ..]) => fixed == first && naive(pattern, topic),
            ([], []) => true,
            _ => false,
        }
    }

    #[test]
    fn the_examples_of_the_docs_hold() {
        for (pattern, matching, others) in [
            (
                "rooms/1",
                &["rooms/1"][..],
                &["rooms/2", "rooms/1/", "rooms", ""][..],
            ),
            (
                "rooms/*",
                &["rooms/1"],
                &["rooms/", "rooms", "rooms/1/typing", "room/1", "rooms/1/"],
            ),
            (
                "rooms/*/typing",
                &["rooms/1/typing"],
                &["rooms//typing", "rooms/1", "rooms/1/2/typing"],
            ),
            (
                "rooms/**",
                &["rooms/1", "rooms/1/typing", "rooms/1/", "rooms//"],
                &["rooms/", "rooms"],
            ),
            ("**", &["a", "/", "a/b"], &[""]),
            ("*", &["a"], &["", "/", "a/", "a/b"]),
            ("*/**", &["a/b", "a/b/c"], &["a", "a/", "/b"]),
            ("", &[""], &["a"]),
            ("/**", &["/a"], &["/", "a"]),
        ] {
            let compiled = TopicPattern::new(pattern).unwrap();
            for topic in matching {
                assert!(compiled.matches(topic), "{pattern} {topic}");
            }
            for topic in others {
                assert!(!compiled.matches(topic), "{pattern} {topic}");
            }
        }
    }

    #[test]
    fn half_wild_segments_are_refused() {
        for pattern in [
            "a*", "*a", "rooms/a*", "**/a", "a/**/b", "a**", "***", "*/a*", "a/***",
        ] {
            let error = TopicPattern::new(pattern).unwrap_err();
            assert_eq!(&*error.0, pattern);
        }
    }

    proptest! {
        #[test]
        fn it_equals_the_plain_matcher(
            pattern in "([ab]?|\\*)(/([ab]?|\\*)){0,3}(/\\*\\*)?", topic in "[ab/]{0,8}",
        ) {
            let segments: Vec<&str> = pattern.split('/').collect();
            let topic_segments: Vec<&str> = topic.split('/').collect();
            let compiled = TopicPattern::new(&pattern).unwrap();
            prop_assert_eq!(compiled.matches(&topic), naive(&segments, &topic_segments));
        }
    }
}
