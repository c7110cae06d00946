//! The names of topics: as an application gives them, and with their namespace.

use std::string::String;

/// Separates the namespace, which has none, from the name.
const SEPARATOR: char = ' ';

/// A topic of a namespace.
///
/// The directory, and stores of the application's, know it by its full name: the namespace, a
/// space, and the name.
#[derive(Clone, Copy)]
pub(in crate::server) struct TopicName<'n> {
    pub(in crate::server) namespace: &'n str,
    pub(in crate::server) name: &'n str,
}

impl<'n> TopicName<'n> {
    pub(in crate::server) fn new(namespace: &'n str, name: &'n str) -> Self {
        Self { namespace, name }
    }

    /// Splits a full name.
    pub(in crate::server) fn split(full: &'n str) -> Self {
        let (namespace, name) = full.split_once(SEPARATOR).unwrap_or(("", full));
        Self { namespace, name }
    }

    /// Returns the full name.
    pub(in crate::server) fn full(self) -> String {
        let mut full = String::with_capacity(self.namespace.len() + 1 + self.name.len());
        full.push_str(self.namespace);
        full.push(SEPARATOR);
        full.push_str(self.name);
        full
    }

    /// Returns whether this is its full name.
    pub(in crate::server) fn is(self, full: &str) -> bool {
        full.len() == self.namespace.len() + 1 + self.name.len()
            && full.ends_with(self.name)
            && full.starts_with(self.namespace)
            && full.as_bytes()[self.namespace.len()] == SEPARATOR as u8
    }
}

/// Returns whether a namespace may have this name: it is not empty and has no space.
pub(in crate::server) fn is_namespace(name: &str) -> bool {
    !name.is_empty() && !name.contains(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_is_split_where_the_namespace_ends() {
        for (namespace, name) in [("/", "a"), ("/chat", "rooms/a b"), ("x", ""), ("/é", "é ")] {
            let topic = TopicName::new(namespace, name);
            let full = topic.full();
            let split = TopicName::split(&full);
            assert_eq!((split.namespace, split.name), (namespace, name));
            assert!(topic.is(&full));
            assert!(!topic.is(&full[1..]));
            assert!(!TopicName::new("y", name).is(&full));
        }
        assert!(!TopicName::new("/a", "b c").is("/a b d"));
        assert!(!TopicName::new("/a", "bc").is("/a-bc"));
        assert!(!TopicName::new("/é", "x").is("/aé x"));
    }

    #[test]
    fn a_namespace_has_no_space() {
        assert!(is_namespace("/chat/{room}"));
        assert!(!is_namespace(""));
        assert!(!is_namespace("a b"));
    }
}
